# What the doctor's short job does on its node. The lines before it set NONCE, FILE (under $HOME), HUBS (HOST PORT lines).

say() { printf '%s %s\n' "$NONCE" "$1"; }

# Whether the node reaches a host: says `yes`, or why not.
reach() {
  if [ -n "$PYTHON" ]; then
    "$PYTHON" -c 'import socket, sys
try:
    socket.create_connection((sys.argv[1], int(sys.argv[2])), 5).close()
    print("yes")
except Exception as error:
    print(error)' "$1" "$2" 2>&1 | tail -n 1
  elif timeout 5 bash -c 'exec 3<>"/dev/tcp/$0/$1"' "$1" "$2" 2>/dev/null; then
    echo yes
  else
    echo 'no answer'
  fi
}

PYTHON=$(command -v python3)
trap 'rm -f -- "$HOME/$FILE"' EXIT
trap 'exit 1' TERM INT HUP
say "node=${SLURMD_NODENAME:-$(uname -n)}"
if (umask 077 && : >"$HOME/$FILE") 2>/dev/null; then say "home=$HOME"; else say 'home='; fi
if command -v nvidia-smi >/dev/null; then
  nvidia-smi -L 2>&1 | head -n 16 | while IFS= read -r line; do say "gpu=$line"; done
else
  say 'no-gpu-program=yes'
fi
say "python=$PYTHON"
(
  look_for_command >/dev/null 2>&1
  say "command=$COMMAND_PATH"
)
printf '%s\n' "$HUBS" | while read -r host port; do
  [ -z "$host" ] || say "hub=$host $port $(reach "$host" "$port")"
done
if [ -n "$PYTHON" ]; then
  # One connection is answered, or none within 20 s.
  "$PYTHON" -c 'import socket, sys
server = socket.socket()
server.bind(("0.0.0.0", 0))
server.listen(1)
server.settimeout(20)
print(sys.argv[1], "port=%d" % server.getsockname()[1], flush=True)
try:
    server.accept()[0].sendall((sys.argv[1] + "\n").encode())
except socket.timeout:
    pass' "$NONCE" 2>/dev/null
else
  say 'port='
  # Long enough for the file to be looked for.
  sleep 10
fi
say 'done=yes'
