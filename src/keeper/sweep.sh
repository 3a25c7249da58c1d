# The sweep: ends what still carries a life's marker on this host, or only counts it. For when the keeper itself is
# gone. The lines before this script set: NONCE MARKER ONLY_COUNT.

# What is left: the engine's processes, and the keeper's and the launcher's.
everything_left() {
  for NAMED in LLM_PROXY_LIFE LLM_PROXY_KEEPER; do
    members ''
  done | sort -un
}

sweep_main() {
  KILLED='' KILLED_COUNT=0 rounds=0
  LEFT=$(everything_left)
  while [ -z "$ONLY_COUNT" ] && [ -n "$LEFT" ] && [ "$rounds" -lt 50 ]; do
    rounds=$((rounds + 1))
    kill_left
    sleep 0.1 || sleep 1
    LEFT=$(everything_left)
  done
  # shellcheck disable=SC2086 # a list of numbers
  set -- $LEFT
  # A sweep of one machine says nothing of another behind the same name.
  printf '%s at %s\n' "$NONCE" "$(uname -n)"
  report_processes "$@"
  printf '%s left %s\n' "$NONCE" "$#"
}

{ sweep_main; exit; }
