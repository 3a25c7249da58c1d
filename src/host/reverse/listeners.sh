# Says who listens on a port of this machine. The lines before set NONCE and PORT, which is four upper-case hexadecimal digits.
listeners() {
  if [ ! -r /proc/net/tcp ]; then
    printf '%s unknown\n' "$NONCE"
  else
    cat /proc/net/tcp /proc/net/tcp6 2>/dev/null | while read -r _ address _ state _ _ _ owner _; do
      case "$address $state" in *":$PORT 0A") printf '%s owner %s\n' "$NONCE" "$owner" ;; esac
    done
    printf '%s me %s\n' "$NONCE" "$(id -u)"
  fi
}
{ listeners; exit; }
