# The engine's port: which one it gets, and who listens on it. Part of the keeper.

# Below the range that the kernel gives to outgoing connections.
choose_port() {
  PORT=$PORT_WANTED
  [ -z "$PORT" ] || return 0
  tries=0
  while [ "$tries" -lt 100 ]; do
    tries=$((tries + 1))
    PORT=$((20000 + $(random) % 10000))
    [ -n "$(listening "$PORT")" ] || return 0
  done
}

random() {
  number=$(od -An -N2 -tu2 /dev/urandom 2>/dev/null | tr -d ' \n')
  case $number in
    '' | *[!0-9]*)
      read -r number _ </proc/uptime
      number=$((${number%.*} * 31 + $$ * 7 + tries * 997))
      ;;
  esac
  printf '%s' "$number"
}

# listening PORT: the inodes of the sockets that listen there, on whichever address.
listening() {
  case $1 in /*)
    listening_on "$1"
    return
    ;;
  esac
  hex=$(printf '%04X' "$1")
  grep -shE "^ *[0-9]+: [0-9A-F]+:$hex [0-9A-F]+:0000 0A " /proc/net/tcp /proc/net/tcp6 |
    while read -r _ _ _ _ _ _ _ _ _ inode _; do
      printf '%s\n' "$inode"
    done
}

# holders INODE PID...: those of the processes that hold the socket.
holders() {
  inode=$1
  shift
  for pid in "$@"; do
    # shellcheck disable=SC2010 # the link's target is wanted, and `ls` reads all of them at once
    if ls -l "/proc/$pid/fd" 2>/dev/null | grep -qF "socket:[$inode]"; then
      printf '%s\n' "$pid"
    fi
  done
}

# oldest PID...: the server, and not a worker that inherited its socket.
oldest() {
  best='' best_start=''
  for pid in "$@"; do
    stat=$(cat "/proc/$pid/stat" 2>/dev/null) || continue
    start=$(started "$stat")
    if [ -z "$best" ] || [ "$start" -lt "$best_start" ]; then
      best=$pid best_start=$start
    fi
  done
  printf '%s' "$best"
}

# The name, in parentheses, may itself hold spaces and parentheses.
started() {
  # shellcheck disable=SC2086 # fields
  set -- ${1##*)}
  printf '%s' "${20}"
}

# Sets OWNER to the member that listens on the port, and FOREIGN where any other process does too. One foreign socket
# is enough to distrust the port: on another address it could be the very one that is dialled.
look_at_port() {
  FOREIGN=''
  inodes=$(listening "$PORT")
  [ -n "$inodes" ] || return 0
  pids=$(members "$LEADER")
  held_by=''
  for inode in $inodes; do
    # shellcheck disable=SC2086 # a list of numbers
    holding=$(holders "$inode" $pids)
    [ -n "$holding" ] || FOREIGN=1
    held_by="$held_by $holding"
  done
  # shellcheck disable=SC2086 # a list of numbers
  OWNER=$(oldest $held_by)
}
