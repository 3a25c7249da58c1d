# A life on the host: the launcher, detached from every connection. Its standard input is followed from a file, its
# output is in files of its folder, $1. It runs on the host beside the runner, or FAR from it, as a job itself. The lines
# before this script set: NONCE MARKER KEEPER FAR, and the function `launcher`.

# The keeper's text goes from our memory into the pipe: it may hold secrets, and they need not touch a disk.
feed() {
  printf '%s\n' "$KEEPER"
  exec tail -c +1 -f "$DIR/control"
}

life_main() {
  DIR=$1
  umask 077
  # A job's own script, read by now: it may hold secrets. Should Slurm start that job anew, it finds none, and ends.
  rm -f "$DIR/script"
  # Caught and not ignored: what we start must be able to hear them.
  trap : TERM INT HUP
  # Who looks from outside must see the launcher and the keeper too, whatever the engine does to its own environment.
  LLM_PROXY_KEEPER=$MARKER
  export LLM_PROXY_KEEPER
  open_pipe
  feed </dev/null >&4 2>/dev/null 4<&- &
  feeder=$! fresher=''
  if [ -n "$FAR" ]; then
    keep_fresh "$DIR/control" </dev/null >/dev/null 2>&1 4<&- &
    fresher=$!
  fi
  # Opened anew for reading only: when we are gone, so is the last writer.
  launcher <"/proc/$$/fd/4" >>"$DIR/reports" 2>>"$DIR/log" 4<&-
  printf '%s ended %s\n' "$NONCE" "$?" >>"$DIR/reports"
  # Not TERM: right after its start it could still be caught as ours.
  # shellcheck disable=SC2086 # there may be none
  kill -KILL "$feeder" $fresher
}

{ life_main "$1"; exit; }
