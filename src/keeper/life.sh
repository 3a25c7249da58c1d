# A life on the host: the launcher, detached from every connection. Its standard input is followed from a file, its
# output is in files of its folder, $1. The lines before this script set: NONCE MARKER KEEPER, and the function `launcher`.

# The keeper's text goes from our memory into the pipe: it may hold secrets, and they need not touch a disk.
feed() {
  printf '%s\n' "$KEEPER"
  exec tail -c +1 -f "$DIR/control"
}

life_main() {
  DIR=$1
  umask 077
  # Caught and not ignored: what we start must be able to hear them.
  trap : TERM INT HUP
  # Who looks from outside must see the launcher and the keeper too, whatever the engine does to its own environment.
  LLM_PROXY_KEEPER=$MARKER
  export LLM_PROXY_KEEPER
  forget_slurm
  open_pipe
  feed </dev/null >&4 2>/dev/null 4<&- &
  feeder=$!
  # Opened anew for reading only: when we are gone, so is the last writer.
  launcher <"/proc/$$/fd/4" >>"$DIR/reports" 2>>"$DIR/log" 4<&-
  printf '%s ended %s\n' "$NONCE" "$?" >>"$DIR/reports"
  # Not TERM: right after its start it could still be caught as ours.
  kill -KILL "$feeder"
}

{ life_main "$1"; exit; }
