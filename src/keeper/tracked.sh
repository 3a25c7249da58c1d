# The engine's descendants, remembered while it runs: what leaves its session and drops its marker is found by this
# alone. Part of the keeper.

# children PID...: whom they have started. Nobody, where the kernel does not say.
children() {
  for parent in "$@"; do
    cat "/proc/$parent/task/"*/children 2>/dev/null
  done
}

# start_of PID: sets START, when it was started; nothing where it is gone. With its number, this is no other process.
start_of() {
  START='' stat=''
  read -r stat 2>/dev/null <"/proc/$1/stat"
  # shellcheck disable=SC2086 # fields
  set -- ${stat##*) }
  # A zombie that has threads left is none yet.
  case ${1:-X}${18:-} in
    X* | Z1) ;;
    *) START=${20:-} ;;
  esac
}

# tracked: those of $TRACKED that are still there.
tracked() {
  for known in $TRACKED; do
    start_of "${known%:*}"
    if [ "$START" = "${known#*:}" ]; then printf '%s\n' "${known%:*}"; fi
  done
}

# Remembers in $TRACKED, as PID:START, whoever belongs to the engine now. The dead are forgotten while it runs, and not
# while it ends: a driver may still hold what was theirs.
track() {
  # A signal that is meant for all of us may end what looks: then we know no less than before.
  now=$(
    deaf
    look_for_descendants
  ) && TRACKED=$now
}

# track_now_and_then TENTHS: at most so often, for it looks at every process of the machine.
track_now_and_then() {
  [ $((T % $1)) -ge "$SPAN" ] || track
}

look_for_descendants() {
  found='' fresh=$(everything)
  while [ -n "$fresh" ]; do
    looked_at=$fresh fresh=''
    for pid in $looked_at; do
      start_of "$pid"
      # shellcheck disable=SC2086 # a list
      if [ -n "$START" ] && ! among "$pid:$START" $found; then
        found="$found $pid:$START" fresh="$fresh $pid"
      fi
    done
    # shellcheck disable=SC2086 # a list of numbers
    fresh=$(children $fresh)
  done
  if [ "$STATE" = ending ]; then
    for known in $TRACKED; do
      # shellcheck disable=SC2086 # a list
      among "$known" $found || found="$found $known"
    done
  fi
  printf '%s' "$found"
}

# everything: whoever belongs to the engine, whether or not we can end it.
everything() {
  {
    carriers "$LEADER"
    tracked
  } | sort -un
}
