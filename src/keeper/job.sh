# A life of llm-proxy. Its own script is a file of the life's folder, and does not stand here, where Slurm shows it: it may
# hold secrets. The line before this script sets DIR, that folder.

job_main() {
  # The login host writes that it was asked for, first of all: over NFS, of two machines that append to one file at a time,
  # one writes over the other.
  tries=0
  until grep -qs ' submitted ' "$DIR/reports" || [ "$tries" -ge 50 ]; do
    tries=$((tries + 1))
    sleep 0.2 || sleep 1
  done
  exec /bin/sh "$DIR/script" "$DIR"
}

{ job_main; exit; }
