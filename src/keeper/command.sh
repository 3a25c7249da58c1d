# One command whose output is framed, whatever the host prints around it. The lines before this script set NONCE and the
# function `command_words`. Its standard input is empty, or it would read the rest of this script.

command_main() {
  printf '\n%s begin\n' "$NONCE"
  command_words </dev/null
  printf '\n%s end %s\n' "$NONCE" "$?"
}

{ command_main; exit; }
