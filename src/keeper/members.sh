# Which processes are an engine's: shared by the keeper and the sweep.

# The variable that marks the engine's processes; the launcher and the keeper carry another.
NAMED=LLM_PROXY_LIFE

# carriers SESSION: those of the session (may be empty) and those that carry $MARKER, one process id a line.
# The session finds what lost its environment, the marker what left the session.
carriers() {
  {
    if [ -n "$1" ]; then
      # Only digits up to the line's end: nothing that a process calls itself can look like this.
      # A zombie is gone, unless it has threads left: those still hold the GPU's memory.
      grep -slE "\\) ([^ZX] [0-9]+ [0-9]+ $1|Z [0-9]+ [0-9]+ $1( [-0-9]+){13} ([2-9]|[1-9][0-9]+)) [- 0-9]+\$" \
        /proc/[0-9]*/stat
    fi
    # Without a marker this would be everybody's engine.
    if [ -n "$MARKER" ]; then
      grep -slF "$NAMED=$MARKER" /proc/[0-9]*/environ
    fi
  } | while IFS=/ read -r _ _ pid _; do
    printf '%s\n' "$pid"
  done | sort -un
}

# can_end: of the processes on standard input those that we may signal. The others are not ours to end, and waiting for
# their end would never end.
can_end() {
  while read -r pid; do
    if kill -0 "$pid" 2>/dev/null; then printf '%s\n' "$pid"; fi
  done
}

# members SESSION: those of its carriers that we can end.
members() {
  carriers "$1" | can_end
}

# among WORD LIST...: whether the word is one of the list.
among() {
  wanted=$1
  shift
  for word in "$@"; do
    [ "$word" = "$wanted" ] && return 0
  done
  return 1
}

# Ends $LEFT, and counts in $KILLED_COUNT each process that this was needed for, once.
kill_left() {
  for pid in $LEFT; do
    # shellcheck disable=SC2086 # a list of numbers
    if ! among "$pid" $KILLED; then
      KILLED="$KILLED $pid"
      KILLED_COUNT=$((KILLED_COUNT + 1))
    fi
    kill -KILL "$pid" 2>/dev/null
  done
}

# name_of PID: what it calls itself, in letters that cannot end a line.
name_of() {
  tr -cd '[:alnum:]._:+/ -' 2>/dev/null <"/proc/$1/comm"
}

# report_processes PID...: names those that are there: number, state (D: it waits for a device), name.
report_processes() {
  for pid in "$@"; do
    # The state stands after the name, which may hold anything.
    state=$(sed -n 's/.*) \([A-Z]\) .*/\1/p' "/proc/$pid/stat" 2>/dev/null)
    [ -z "$state" ] || printf '%s account process %s %s %s\n' "$NONCE" "$pid" "$state" "$(name_of "$pid")"
  done
}
