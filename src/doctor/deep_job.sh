# What the doctor's short job does in the engine's place and surroundings. LLM_PROXY_DOCTOR begins every line that it says;
# $1 is the command's first word, if there is a command; what follows are hosts and ports that the node may reach.

WORD=$LLM_PROXY_DOCTOR PROGRAM=$1
shift

say() { printf '%s %.300s\n' "$WORD" "$1"; }

# Whether the node reaches a host: says `yes`, or why not. A name may take longer to resolve than anybody waits.
reach() {
  if [ -n "$PYTHON" ]; then
    timeout -k 1 10 "$PYTHON" -c 'import socket, sys
try:
    socket.create_connection((sys.argv[1], int(sys.argv[2])), 5).close()
    print("yes")
except Exception as error:
    print(error)' "$1" "$2" 2>&1 | tail -n 1
  elif timeout -k 1 5 bash -c 'exec 3<>"/dev/tcp/$0/$1"' "$1" "$2" 2>/dev/null; then
    echo yes
  fi
}

hub() {
  answer=$(reach "$1" "$2")
  say "hub=$1 $2 ${answer:-no answer}"
}

gpus() {
  if command -v nvidia-smi >/dev/null; then
    (timeout -k 1 20 nvidia-smi -L 2>&1 || echo 'it failed, or did not answer') | head -n 16 |
      while IFS= read -r line; do say "gpu=$line"; done
  else
    say 'no-gpu-program=yes'
  fi
}

# Says each line back, after our word: so whoever dials knows whom it reached.
listen() {
  if [ -n "$PYTHON" ]; then
    exec "$PYTHON" -c 'import os, socket, socketserver
word = os.environ["LLM_PROXY_DOCTOR"].encode()
class Talk(socketserver.StreamRequestHandler):
    def handle(self):
        for line in iter(lambda: self.rfile.readline(256), b""):
            self.wfile.write(word + b" " + line)
path, host, port = (os.environ.get(name, "") for name in ("SOCKET", "HOST", "PORT"))
base = socketserver.UnixStreamServer if path else socketserver.TCPServer
class Server(socketserver.ThreadingMixIn, base):
    address_family = socket.AF_UNIX if path else socket.AF_INET6 if ":" in host else socket.AF_INET
    allow_reuse_address = daemon_threads = True
    request_queue_size = 64
Server(path or (host, int(port)), Talk).serve_forever()'
  fi
  exec perl -MIO::Socket::INET -MIO::Socket::UNIX -e 'my $server = $ENV{SOCKET}
  ? IO::Socket::UNIX->new(Local => $ENV{SOCKET}, Listen => 64)
  : IO::Socket::INET->new(LocalAddr => $ENV{HOST}, LocalPort => $ENV{PORT}, Proto => "tcp", Listen => 64, ReuseAddr => 1);
$server or die "$@\n";
$SIG{CHLD} = "IGNORE";
while (1) {
  my $talk = $server->accept or next;
  next if fork;
  while (my $line = <$talk>) { print $talk "$ENV{LLM_PROXY_DOCTOR} $line"; }
  exit;
}'
}

PYTHON=$(command -v python3)
FILE=$HOME/.$WORD
trap 'rm -f -- "$FILE"' EXIT
trap 'exit 1' TERM INT HUP
if (umask 077 && : >"$FILE") 2>/dev/null; then say "home=$HOME"; else say 'home='; fi
if [ -n "$PYTHON" ] || perl -MIO::Socket::INET -e 1 2>/dev/null; then
  listen &
else
  say 'nothing-to-listen-with=yes'
  # Long enough for the rest to be looked at.
  sleep 60 &
fi
LAST=$!
gpus &
LOOKS=$!
[ -z "$PROGRAM" ] || say "command=$(command -v "$PROGRAM")"
for name in uv vllm python3; do say "program=$name $(command -v "$name")"; done
while [ $# -gt 1 ]; do
  hub "$1" "$2" &
  LOOKS="$LOOKS $!"
  shift 2
done
# shellcheck disable=SC2086 # a list of numbers
wait $LOOKS
say 'done=yes'
wait "$LAST"
