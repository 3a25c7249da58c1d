# Asks Slurm for a job that is the life, on the host, detached from every connection for the moment that this takes; then
# nothing is left here. The life's folder is $1. The lines before this script set: NONCE JOB LIFE, and the function
# `ask_slurm`.

# What Slurm is given, and keeps.
job_text() {
  printf "#!/bin/sh\nDIR='%s'\n%s\n" "$(printf '%s' "$DIR" | sed "s/'/'\\\\''/g")" "$JOB"
}

submit_main() {
  DIR=$1
  umask 077
  forget_slurm
  # In the name of a file that Slurm opens, % begins what it fills in.
  log=$(printf '%s' "$DIR/log" | sed 's/%/%%/g')
  said=$(printf '%s\n' "$LIFE" >"$DIR/script" && job_text | ask_slurm "--output=$log")
  code=$?
  if [ "$code" = 0 ]; then
    # A site's own sbatch may say more than the number.
    number=$(printf '%s\n' "$said" | sed -n 's/^\([0-9][0-9]*\)\(;.*\)\{0,1\}$/\1/p' | tail -n 1)
    printf '%s submitted %s\n' "$NONCE" "$number" >>"$DIR/reports"
  else
    rm -f "$DIR/script"
    [ -z "$said" ] || printf '%s\n' "$said" >>"$DIR/log"
    printf '%s ended %s\n' "$NONCE" "$code" >>"$DIR/reports"
  fi
}

{ submit_main "$1"; exit; }
