# The keeper: runs in the engine's place, and runs the engine. It picks the port, says what happens, ends the engine
# when it is told to or hears nothing any more, and goes last. The lines before this script set what it needs:
#   NONCE MARKER HOST_BIND PORT_WANTED SOCKET_WANTED LEASE_S STOP_S LOGIN_SHELL WRAPPED MODEL ASK_HUB ENGINE
# and the functions of pipe.sh, members.sh, port.sh, socket.sh, tracked.sh, account.sh, model.sh and download.sh. PORT may be the path of a Unix
# socket.
# One loop reads events from a pipe; the sources write one line each. Times are in tenths of a second, counted by ticks.

# What is not gone this long after it was first killed will not go. And how often the engine's descendants are looked for.
KILL_PATIENCE=100 TRACK_EVERY=100

# Standard output carries reports and nothing else.
report() {
  printf '%s %s\n' "$NONCE" "$*"
}

# For people, among the engine's log.
note() {
  printf 'keeper: %s\n' "$*" >&2
}

# A signal to us is an event like the others.
attentive() {
  trap 'printf "signal\n" >&4' TERM INT HUP
}

# `scancel` sends TERM to every process of the step: to our sources, and to the `grep` whose answer we act on. What is
# started while we are deaf is deaf too.
deaf() {
  trap '' TERM INT HUP
}

# The keys by which an SSH server of this machine would be known.
report_host_keys() {
  for file in /etc/ssh/ssh_host_*_key.pub; do
    if read -r kind key _ <"$file"; then report host-key "$kind" "$key"; fi
  done 2>/dev/null
}

# ---- Sources of events

# Words arrive on standard input once the script is read. A last line that a lost link cut short is no word.
start_reader() {
  exec 3<&0
  (
    while IFS= read -r line; do
      printf 'word %.100s\n' "$line" >&4
    done
    printf 'eof\n' >&4
  ) <&3 >/dev/null 2>&1 &
  READER=$!
  exec 3<&-
}

# One tick, then the loop asks for the next: a slow scan never makes them pile up. Fast while something is awaited,
# but not for ever. The number tells a tick that was overtaken.
start_ticker() {
  SPAN=10 PAUSE=1
  case $STATE in
    starting) [ "$T" -ge 600 ] || { SPAN=1 PAUSE=0.1; } ;;
    ending) [ "$T" -ge $((DEADLINE + 100)) ] || { SPAN=1 PAUSE=0.1; } ;;
  esac
  TICK=$((TICK + 1))
  (
    deaf
    sleep "$PAUSE" || sleep 1
    printf 'tick %s\n' "$TICK" >&4
  ) </dev/null >/dev/null 2>&1 &
  TICKER=$!
}

# The engine, and whoever marks what it says.
engine_output() {
  await_engine | mark_lines >&2 4<&-
  printf 'silent\n' >&4
}

# One log keeps the order of all that the engine says, so what comes from its standard output is marked, line by line. This
# is the shell's own work: its loop goes on where a disk is full, and an engine whose output nobody takes would end.
mark_lines() {
  LC_ALL=C
  while IFS= read -r line || [ -n "$line" ]; do
    printf '\001%s\n' "$line"
  done 2>/dev/null
}

# The engine's parent, who alone can learn its exit code.
await_engine() {
  (run_engine) </dev/null 3<&- 4<&- 5<&- 6<&- 7<&- 8<&- 9<&- &
  printf 'engine %s\n' "$!" >&4
  # A shell may name the signal that ended it; the log is the engine's.
  wait "$!" 2>/dev/null
  printf 'exited %s\n' "$?" >&4
}

# ---- The engine

# `setsid` does not fork here: a background child of a shell without job control leads no group. So this process, the
# session's leader and the engine are one.
run_engine() {
  trap - TERM INT HUP PIPE
  HOST=$HOST_BIND LLM_PROXY_LIFE=$MARKER LLM_PROXY_PORT=$PORT LLM_PROXY_ENGINE=$ENGINE
  # Python's setproctitle would write over the marker in /proc/PID/environ.
  SPT_NOENV=1
  export HOST PORT LLM_PROXY_LIFE LLM_PROXY_PORT LLM_PROXY_ENGINE SPT_NOENV
  # The text comes by the environment: it may hold secrets, and everybody can read an argv.
  run='llm_proxy_engine=$LLM_PROXY_ENGINE; unset LLM_PROXY_ENGINE; eval "$llm_proxy_engine"'
  if [ -n "$LOGIN_SHELL" ]; then
    # A system's profile may begin the PATH anew, and forget what the user's own login shell, or `srun`, gave us.
    LLM_PROXY_PATH=$PATH
    export LLM_PROXY_PATH
    path='[ "$PATH" = "$LLM_PROXY_PATH" ] || PATH=$PATH:$LLM_PROXY_PATH; unset LLM_PROXY_PATH'
    exec setsid bash -l -c "$path; $run"
  fi
  exec setsid /bin/sh -c "$run"
}

start_engine() {
  STATE=starting T=0 LEADER='' OWNER='' EXITED='' KILLING='' GRACE='' AGAIN='' KILLED='' KILLED_COUNT=0
  TRACKED='' KILL_END='' ACCOUNT_END='' SILENT='' SILENT_END='' SEEN='' LOOK_AT=$LOOK_EVERY
  choose_port
  [ -n "$SOCKET_WANTED" ] || report port "$PORT"
  deaf
  engine_output </dev/null >/dev/null &
  attentive
}

# Where the keeper alone is killed, as by a node that is out of memory, nobody else would end the engine: it left our
# session, and a Slurm without cgroups then does not find it.
start_guard() {
  [ -z "$GUARD" ] || kill -KILL "$GUARD" 2>/dev/null
  start_of "$$"
  (
    deaf
    keeper=$START
    while [ "$START" = "$keeper" ]; do
      sleep 3
      start_of "$$"
    done
    LEFT=$(members "$LEADER")
    while [ -n "$LEFT" ]; do
      kill_left
      sleep 1
      LEFT=$(members "$LEADER")
    done
    remove_socket_folder
  ) </dev/null >/dev/null 2>&1 4<&- &
  GUARD=$!
}

# ---- Who listens

check_port() {
  [ -n "$LEADER" ] || return 0
  look_at_port
  if [ -n "$OWNER" ] && [ -z "$FOREIGN" ]; then
    STATE=listening
    report listening "$PORT"
  fi
}

# Another process took the port between our choice and the engine's start.
lost_race() {
  [ "$STATE" = starting ] && [ -z "$PORT_WANTED" ] && [ "$RETRIES" -lt 3 ] || return 1
  look_at_port
  [ -n "$FOREIGN" ]
}

# ---- The lease

# A counter, and never a time: no clock can be wrong, and a suspended machine loses nothing.
spend_lease() {
  LEASE=$((LEASE - SPAN))
  [ "$LEASE" -le 0 ] || return 0
  report lease-out
  ask_to_stop
}

# renew N: only a number that grew proves that somebody is still there to count.
renew() {
  case $1 in
    '' | *[!0-9]* | ???????????????*) return 0 ;;
  esac
  if [ "$1" -gt "$ALIVE" ]; then
    ALIVE=$1
    LEASE=$((LEASE_S * 10))
  fi
}

# ---- The end

begin_ending() {
  deaf
  STATE=ending T=0 DEADLINE=$((STOP_S * 10))
}

ask_to_stop() {
  RETRY=''
  [ "$STATE" != ending ] || return 0
  report stopping
  begin_ending
  start_ticker
  track
  LEFT=$(everything | can_end)
  ask_main
}

stop_now() {
  RETRY='' KILLING=1
  if [ "$STATE" != ending ]; then
    report stopping
    begin_ending
    start_ticker
    track
  fi
  step_ending
}

# The leader may be a wrapper that does not pass a signal on: then the one who listens is asked too. Nobody else is: a
# TERM to the whole group wedges a vLLM that is still starting. A profiler around the engine writes its report once that has
# ended, and then ends by itself: it is asked only while there is nobody else to ask.
ask_main() {
  if [ -n "$WRAPPED" ] && [ -n "$OWNER" ]; then
    if owner_left; then kill -TERM "$OWNER" 2>/dev/null; fi
    return 0
  fi
  if [ -n "$LEADER" ] && [ -z "$EXITED" ]; then
    kill -TERM "$LEADER" 2>/dev/null
  fi
  if owner_left && [ "$OWNER" != "$LEADER" ]; then
    kill -TERM "$OWNER" 2>/dev/null
  fi
}

owner_left() {
  # shellcheck disable=SC2086 # a list of numbers
  [ -n "$OWNER" ] && among "$OWNER" $LEFT
}

# One step towards nothing being left; called at each tick and when the engine exits.
step_ending() {
  if [ -n "$ACCOUNT_END" ]; then
    step_account
    return
  fi
  LEFT=$(everything | can_end)
  # Only where the waiter was killed before it could speak.
  if [ -z "$LEADER" ] && [ "$T" -ge "$DEADLINE" ]; then EXITED=143; fi
  if [ -n "$EXITED" ] && [ -z "$LEFT" ]; then
    # Its last words may be on their way; who holds its output and is not ours is not waited for.
    [ -n "$SILENT_END" ] || SILENT_END=$((T + 10))
    if [ -n "$SILENT" ] || [ "$T" -ge "$SILENT_END" ]; then finish; fi
    return
  fi
  if [ -n "$EXITED" ] && ! owner_left; then
    grant_grace
  elif [ "$T" -ge 10 ] && [ -z "$AGAIN" ]; then
    # vLLM ignores the first TERM while it starts.
    AGAIN=1
    ask_main
  fi
  [ "$T" -lt "$DEADLINE" ] || KILLING=1
  [ -z "$KILLING" ] || kill_all
  if [ -n "$KILL_END" ] && [ "$T" -ge "$KILL_END" ]; then
    RETRY=''
    finish
  fi
}

# What the main process left behind gets five seconds.
grant_grace() {
  [ -z "$GRACE" ] || return 0
  GRACE=1
  for pid in $LEFT; do
    kill -TERM "$pid" 2>/dev/null
  done
  if [ "$DEADLINE" -gt $((T + 50)) ]; then DEADLINE=$((T + 50)); fi
}

# Again at each tick: a process can fork while we look.
kill_all() {
  # shellcheck disable=SC2086 # a list of numbers
  if [ -n "$LEADER" ] && [ -z "$EXITED" ] && ! among "$LEADER" $LEFT; then
    LEFT="$LEFT $LEADER"
  fi
  if [ -z "$KILL_END" ]; then
    KILL_END=$((T + KILL_PATIENCE))
    # Whoever has it stopped at once knows that.
    if [ -n "$WRAPPED" ] && [ -z "$EXITED" ] && [ "$T" -ge "$DEADLINE" ]; then
      note "the profiler is killed before it wrote its report: --stop-timeout ($STOP_S s) is too short for it"
    fi
  fi
  kill_left
}

# Nothing is left, or nothing that we could end.
finish() {
  if [ -n "$RETRY" ]; then
    RETRY=''
    start_engine
    return
  fi
  begin_account
}

end_keeper() {
  [ "$KILLED_COUNT" = 0 ] || report leftover "$KILLED_COUNT"
  remove_socket_folder
  EXITED=${EXITED:-137}
  report gone "$EXITED"
  # With the sleep that it is in.
  # shellcheck disable=SC2046 # a list of numbers
  [ -z "$GUARD" ] || kill -KILL "$GUARD" $(children "$GUARD") 2>/dev/null
  end_looker
  [ -z "$READER" ] || kill -KILL "$READER" 2>/dev/null
  exit "$EXITED"
}

# ---- Events

on_engine() {
  LEADER=$1
  report engine "$LEADER"
  start_guard
  # Asked to stop before there was anybody to ask.
  if [ "$STATE" = ending ]; then ask_main; fi
}

on_exited() {
  EXITED=$1
  if lost_race; then
    RETRIES=$((RETRIES + 1))
    RETRY=1 KILLING=1
    note "port $PORT was taken by another process, trying another port"
  else
    report exited "$EXITED"
  fi
  if [ "$STATE" != ending ]; then
    begin_ending
    start_ticker
    track
  fi
  step_ending
}

on_silent() {
  SILENT=1
  if [ "$STATE" = ending ]; then step_ending; fi
}

on_tick() {
  [ "$1" = "$TICK" ] || return 0
  # Or the shell would remember every ticker for as long as it lives.
  wait "$TICKER" 2>/dev/null
  T=$((T + SPAN))
  case $STATE in
    starting)
      check_port
      look_at_model
      track_now_and_then 10
      spend_lease
      ;;
    listening)
      track_now_and_then "$TRACK_EVERY"
      spend_lease
      ;;
    ending) step_ending ;;
  esac
  start_ticker
}

on_word() {
  case $1 in
    alive) renew "$2" ;;
    stop) ask_to_stop ;;
    stop-now) stop_now ;;
  esac
}

# A signal can end the `read` early; the event it made is read next.
next_event() {
  event='' first='' second=''
  read -r event first second <&4 || return 0
  case $event in
    word) on_word "$first" "$second" ;;
    tick) on_tick "$first" ;;
    engine) on_engine "$first" ;;
    exited) on_exited "$first" ;;
    silent) on_silent ;;
    # It ends by itself, and its number may soon be another's.
    eof) READER='' ;;
    gpu) on_gpu "$first" "$second" ;;
    files) on_files "$first" ;;
    arrived) on_arrived "$first" "$second" ;;
    asked) on_asked ;;
    looked) on_looked "$first" ;;
    signal)
      ask_to_stop
      # It may have met a ticker that was not yet deaf.
      start_ticker
      ;;
  esac
}

keeper_main() {
  # A report that nobody reads must not end us.
  trap '' PIPE
  deaf
  STATE=starting GUARD='' FOLDER='' LOOKER='' T=0 TICK=0 ALIVE=0 RETRIES=0 RETRY='' LEASE=$((LEASE_S * 10))
  open_pipe
  start_reader
  node=${SLURMD_NODENAME:-}
  [ -n "$node" ] || read -r node </proc/sys/kernel/hostname
  report hello "node=$node" "pid=$$" "job=${SLURM_JOB_ID:-}"
  report_host_keys
  if [ -n "$SOCKET_WANTED" ] && ! make_socket_folder; then
    note 'the folder of the engine'"'"'s socket cannot be made under /tmp'
    EXITED=1 KILLED_COUNT=0
    report exited "$EXITED"
    end_keeper
  fi
  start_engine
  start_ticker
  while :; do
    next_event
  done
}

# Braces, so that a script cut short anywhere runs nothing.
{ keeper_main; exit; }
