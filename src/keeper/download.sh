# While the engine starts: what has arrived of its model, and how large it will be. Part of the keeper. ASK_HUB says whether
# the hub is asked for that.

# How often it is looked at, in tenths of a second. An engine that needs no more than that downloads nothing.
LOOK_EVERY=50

# How often the hub is asked in all: one that does not answer will hardly answer later, and each time a token is shown.
MOST_ASKED=2 ASKED=0 LOOK=0

# What of the engine's surroundings says where models are and come from: its variables and its prelude made them. A value may
# have lines, which are no variables; and a function of bash's stands among them under a name that none can have.
adopt_surroundings() {
  surroundings=$(tr '\n\0' ' \n' <"/proc/$LEADER/environ" 2>/dev/null)
  while IFS= read -r line; do
    case ${line%%=*} in
      *[!A-Za-z0-9_]*) ;;
      PATH | HOME | XDG_CACHE_HOME | HF_* | *_PROXY | *_proxy | SSL_CERT_*) export "${line?}" ;;
    esac
  done <<END
$surroundings
END
}

# One look in the background, for a file system or a hub may be slow: its events are `arrived`, `asked`, `files` and `looked`.
look_at_model() {
  [ -n "$MODEL" ] && [ -n "$LEADER" ] && looker_is_through && [ "$T" -ge "$LOOK_AT" ] || return 0
  LOOK=$((LOOK + 1))
  (
    deaf
    # Of a folder of that name nothing is downloaded.
    [ -d "/proc/$LEADER/cwd/$MODEL" ] || look_once
    printf 'looked %s\n' "$LOOK" >&4
  ) </dev/null >/dev/null 2>&1 &
  LOOKER=$!
}

look_once() {
  adopt_surroundings
  hub_folder
  hub_arrived
  hub_free
  printf 'arrived %s %s\n' "$ARRIVED" "$FREE" >&4
  # What is all there is not asked for.
  if [ -n "$ASK_HUB" ] && { [ "$ARRIVED" = 0 ] || [ "$ARRIVED" -gt "${SEEN:-$ARRIVED}" ]; }; then
    printf 'asked\n' >&4
    index=$(hub_index 4>&-)
    [ -z "$index" ] || printf 'files %s\n' "$index" >&4
  fi
}

# Whether nobody looks. Whoever was killed while looking says nothing.
looker_is_through() {
  [ -n "$LOOKER" ] || return 0
  if ! kill -0 "$LOOKER" 2>/dev/null; then on_looked "$LOOK"; fi
  [ -z "$LOOKER" ]
}

# With all that it started: who asks the hub is two below. It is waited for, so that no shell says that it was killed.
end_looker() {
  level=$LOOKER
  while [ -n "$level" ]; do
    # shellcheck disable=SC2086 # a list of numbers
    below=$(children $level)
    # shellcheck disable=SC2086 # a list of numbers
    { kill -KILL $level; wait $level; } 2>/dev/null
    level=$below
  done
}

on_asked() {
  ASKED=$((ASKED + 1))
  [ "$ASKED" -lt "$MOST_ASKED" ] || ASK_HUB=''
}

# What arrived is told once more, to be compared with it.
on_files() {
  ASK_HUB='' SEEN=''
  report files "$1"
}

# arrived BYTES FREE
on_arrived() {
  [ "$1" = "$SEEN" ] || report arrived "$1" "$2"
  SEEN=$1
}

# looked NUMBER: which tells a look that was given up.
on_looked() {
  [ "$1" = "$LOOK" ] && [ -n "$LOOKER" ] || return 0
  wait "$LOOKER" 2>/dev/null
  LOOKER='' LOOK_AT=$((T + LOOK_EVERY))
}
