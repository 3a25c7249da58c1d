# While the engine starts: what has arrived of its model, and how large it will be. Part of the keeper. ASK_HUB says whether
# the hub is asked for that.

# How often it is looked at, in tenths of a second. An engine that needs no more than that downloads nothing.
LOOK_EVERY=50

# What of the engine's surroundings says where models are and come from: its variables and its prelude made them.
adopt_surroundings() {
  surroundings=$(tr '\0' '\n' <"/proc/$LEADER/environ" 2>/dev/null)
  while IFS= read -r line; do
    case $line in
      PATH=* | HOME=* | XDG_CACHE_HOME=* | HF_*=* | *_PROXY=* | *_proxy=* | SSL_CERT_*=*) export "${line?}" ;;
    esac
  done <<END
$surroundings
END
}

# One look in the background, for a file system or a hub may be slow: its events are `files` and `arrived`.
look_at_model() {
  [ -n "$MODEL" ] && [ -n "$LEADER" ] && [ -z "$LOOKER" ] && [ "$T" -ge "$LOOK_AT" ] || return 0
  (
    deaf
    adopt_surroundings
    hub_folder
    hub_arrived
    hub_free
    # What is all there is not asked for.
    if [ -n "$ASK_HUB" ] && { [ "$ARRIVED" = 0 ] || [ "$ARRIVED" -gt "${SEEN:-$ARRIVED}" ]; }; then
      index=$(hub_index 4>&-)
      [ -z "$index" ] || printf 'files %s\n' "$index" >&4
    fi
    printf 'arrived %s %s\n' "$ARRIVED" "$FREE" >&4
  ) </dev/null >/dev/null 2>&1 &
  LOOKER=$!
}

on_files() {
  ASK_HUB=''
  report files "$1"
}

# arrived BYTES FREE
on_arrived() {
  wait "$LOOKER" 2>/dev/null
  LOOKER='' LOOK_AT=$((T + LOOK_EVERY))
  [ "$1" = "$SEEN" ] || report arrived "$1" "$2"
  SEEN=$1
}
