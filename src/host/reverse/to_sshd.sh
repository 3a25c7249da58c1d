trap 'kill "$tunnel" "$watch" 2>/dev/null; exit 143' HUP INT TERM
supervise "$@"
