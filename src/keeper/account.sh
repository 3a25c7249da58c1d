# The account: what is looked at once the engine is ended, and what is seen. Part of the keeper.

# A card's driver may take a while to see that a process is gone: in tenths of a second.
GPU_PATIENCE=100

begin_account() {
  ACCOUNT_END=$((T + GPU_PATIENCE)) HELD=''
  ask_gpu
  step_account
}

# Another source of events: who still holds memory of a card. Where a driver is in trouble, it may never answer.
ask_gpu() {
  GPU=none BEFORE=$HELD HELD=''
  command -v nvidia-smi >/dev/null 2>&1 || return 0
  GPU=asked
  (
    if rows=$(nvidia-smi --query-compute-apps=pid,used_memory,process_name --format=csv,noheader,nounits 4<&-); then
      printf '%s\n' "$rows" | sed -n 's/^\([0-9]*, .*\)/gpu \1/p' | cut -c 1-200 >&4
      printf 'gpu end\n' >&4
    else
      printf 'gpu failed\n' >&4
    fi
  ) </dev/null >/dev/null 2>&1 &
  ASKER=$!
}

# gpu PID, MEMORY, NAME and in the end: gpu end, or gpu failed.
on_gpu() {
  case $1 in
    failed) GPU=unknown ;;
    end) GPU=clear ;;
    *)
      # Others may work on the same cards.
      for known in "$LEADER" $TRACKED; do
        [ "${known%:*}" = "${1%,}" ] || continue
        HELD="$HELD${1%,} ${2%%,*} ${2#*, }
"
        break
      done
      ;;
  esac
}

step_account() {
  if [ "$T" -lt "$ACCOUNT_END" ]; then
    [ "$GPU" != asked ] || return 0
    if [ -n "$HELD" ]; then
      [ "$GPU" != clear ] || ask_gpu
      return
    fi
  fi
  report_account
  end_keeper
}

report_account() {
  # shellcheck disable=SC2086 # a list
  set -- $TRACKED
  report account looked "${LEADER:-0}" "$#"
  # shellcheck disable=SC2046 # a list of numbers
  report_processes $(everything)
  report_port
  if [ "$GPU" = asked ]; then
    GPU=unknown HELD=$BEFORE
    # shellcheck disable=SC2046 # a list of numbers
    kill -KILL "$ASKER" $(children "$ASKER") 2>/dev/null
  fi
  if [ -n "$HELD" ]; then
    report_held
  else
    report account gpu "$GPU"
  fi
}

report_port() {
  # A socket goes with its folder.
  [ -z "$FOLDER" ] || return 0
  inodes=$(listening "$PORT")
  if [ -z "$inodes" ]; then
    report account port "$PORT" free
    return
  fi
  # Where the engine never had it, another server did.
  kind=taken
  [ -z "$OWNER" ] || kind=held
  holder=''
  for inode in $inodes; do
    # shellcheck disable=SC2046 # a list of numbers
    holder=$(oldest $(anybody_with "$inode"))
    [ -z "$holder" ] || break
  done
  report account port "$PORT" "$kind" "$holder" "$(name_of "$holder")"
}

# anybody_with INODE: the processes of the machine that hold the socket, as far as we may know.
anybody_with() {
  # shellcheck disable=SC2010 # the links' targets are wanted, under the name of each folder
  ls -l /proc/[0-9]*/fd 2>/dev/null |
    sed -n -e '/^\/proc\/[0-9]*\/fd:$/h' -e "/ -> socket:\[$1]\$/{g;s/[^0-9]//g;p;}"
}

report_held() {
  printf '%s' "$HELD" | tr -cd '[:alnum:]._:+/ \n-' | while read -r row; do
    report account gpu "$row"
  done
}
