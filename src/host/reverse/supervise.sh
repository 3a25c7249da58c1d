# Becomes the supervisor of "$@", an ssh: ends it when standard input ends, and ends with it, by its exit code.
supervise() {
  exec 3<&0
  "$@" </dev/null >/dev/null 3<&- &
  tunnel=$!
  (
    while read -r _ <&3; do :; done
    kill "$tunnel"
  ) >/dev/null 2>&1 &
  watch=$!
  exec 3<&-
  wait "$tunnel"
  code=$?
  kill "$watch" 2>/dev/null
  exit "$code"
}
