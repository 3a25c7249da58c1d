# The runner: on the host, for as long as one connection lasts. It starts a life or finds one, shows its reports (standard
# output) and its log (standard error), and appends what it is told (standard input) to the life's control words. The
# lines before this script set: NONCE NAME MODE LOG_OFFSET FAR OVER, and to launch LIFE.
LOG_BLOCKS=131072 # of 512 bytes, 64 MiB

fail() {
  printf '%s error %s\n' "$NONCE" "$(printf '%s' "$*" | tr '\n' ' ')"
  exit 3
}

make_folder() {
  text=$(mkdir -p "${DIR%/*}" 2>&1) || fail write "$text"
  if ! text=$(mkdir "$DIR" 2>&1); then
    [ ! -d "$DIR" ] || fail exists "$DIR"
    fail write "$text"
  fi
  # A full disk shows only when there is something to write.
  if ! text=$( (printf '0\n' >"$DIR/base" && : >"$DIR/control" && : >"$DIR/reports" && : >"$DIR/log") 2>&1); then
    rm -rf "$DIR"
    fail write "$text"
  fi
}

launch() {
  command -v setsid >/dev/null || fail write "there is no setsid on this host"
  # Who may never hear the answer must know first which machine it is that he asks.
  say_where
  read -r word || exit 0
  [ "$word" = go ] || exit 0
  make_folder
  printf '%s\n' "$LIFE" | setsid /bin/sh -s "$DIR" >/dev/null 2>>"$DIR/log" &
  printf '%s %s\n' "$!" "$(uname -n)" >"$DIR/life"
  printf '%s launched %s\n' "$NONCE" "$!"
  say_where
}

attach() {
  if [ ! -d "$DIR" ]; then
    say_where
    fail missing "$DIR"
  fi
  speak_for_the_dead
  printf '%s attached\n' "$NONCE"
  say_where
}

# This machine, and the one that the life was started on, if it was.
say_where() {
  recall_life || :
  printf '%s at %s %s\n' "$NONCE" "$(uname -n)" "$LIFE_MACHINE"
}

# Sets LIFE_PID to the life's shell, if it was started on this machine: behind one name there may be several. What Slurm was
# given is no machine's: its shell here has ended.
recall_life() {
  LIFE_PID='' LIFE_MACHINE=''
  if grep -qs "^$NONCE submitted " "$DIR/reports"; then return 1; fi
  read -r LIFE_PID LIFE_MACHINE 2>/dev/null <"$DIR/life"
  [ -n "$LIFE_PID" ] && [ "$LIFE_MACHINE" = "$(uname -n)" ]
}

# Whether a process runs. A dead one may wait long for its parent to take note.
lives() {
  kill -0 "$1" 2>/dev/null || return 1
  case $(sed -n 's/.*) //p' "/proc/$1/stat" 2>/dev/null) in
    Z* | X*) return 1 ;;
  esac
}

# A life that was killed, or whose machine was restarted, cannot say that it ended. Of a job Slurm knows it: OVER.
speak_for_the_dead() {
  if [ -z "$OVER" ]; then
    recall_life || return 0
    if lives "$LIFE_PID"; then return 0; fi
  fi
  if grep -q "^$NONCE ended " "$DIR/reports"; then return 0; fi
  printf '%s ended 255\n' "$NONCE" >>"$DIR/reports"
}

# The launcher of a job that waits, which no word reaches yet. The life's shell itself catches this, and says `ended`;
# one that was hit before it could catch anything is found dead by the next call.
end_launcher() {
  if recall_life; then kill -TERM "-$LIFE_PID" 2>/dev/null; fi
  speak_for_the_dead
  printf '%s stopping\n' "$NONCE"
}

# When a process was started, in the kernel's own count: with its number, this is no other process.
started() { sed -n 's/.*) //p' "/proc/$1/stat" 2>/dev/null | cut -d' ' -f20; }

# A host may not know for hours that a connection is lost, and its runner would stay as long.
take_over() {
  RUNNER_PID='' RUNNER_START='' RUNNER_MACHINE=''
  read -r RUNNER_PID RUNNER_START RUNNER_MACHINE 2>/dev/null <"$DIR/runner"
  if [ -n "$RUNNER_START" ] && [ "$RUNNER_MACHINE" = "$(uname -n)" ] &&
    [ "$(started "$RUNNER_PID")" = "$RUNNER_START" ]; then
    kill -TERM "$RUNNER_PID" 2>/dev/null
  fi
  printf '%s %s %s\n' "$$" "$(started "$$")" "$(uname -n)" >"$DIR/runner"
}

# Offsets count from the log's first byte ever; `base` is how many of them are gone.
follow() {
  read -r base <"$DIR/base"
  start=$((LOG_OFFSET - base))
  if [ "$start" -lt 0 ]; then start=0; fi
  printf '%s log %s\n' "$NONCE" "$((base + start))" >&2
  tail -c "+$((start + 1))" -f "$DIR/log" </dev/null >&2 2>/dev/null &
  log_follower=$!
  tail -c +1 -f "$DIR/reports" </dev/null 2>/dev/null &
  report_follower=$! fresher=''
  if [ -n "$FAR" ]; then
    keep_fresh "$DIR/log" "$DIR/reports" </dev/null >/dev/null 2>&1 &
    fresher=$!
  fi
  trap leave TERM INT HUP
}

leave() {
  # shellcheck disable=SC2086 # there may be none
  set -- "$log_follower" "$report_follower" $fresher
  kill "$@" 2>/dev/null
  wait "$@" 2>/dev/null
  exit 0
}

# Everybody who writes to the log appends, so it can be emptied under them; a follower starts again from its top. What
# is written in that very moment may be lost.
bound_log() {
  [ -n "$(find "$DIR/log" -size "+$LOG_BLOCKS" 2>/dev/null)" ] || return 0
  read -r base <"$DIR/base"
  size=$(wc -c <"$DIR/log")
  printf '%s\n' "$((base + size))" >"$DIR/base"
  : >"$DIR/log"
}

# Standard input ends with the connection. A last line without its end was cut off.
pass_words() {
  while IFS= read -r line; do
    printf '%s\n' "$line" >>"$DIR/control"
    bound_log
  done
}

runner_main() {
  umask 077
  DIR=${XDG_STATE_HOME:-$HOME/.local/state}/llm-proxy/lives/$NAME
  case $MODE in
    launch) launch ;;
    attach) attach ;;
    end)
      end_launcher
      exit
      ;;
    forget)
      rm -rf "$DIR" && printf '%s forgotten\n' "$NONCE"
      exit
      ;;
  esac
  take_over
  follow
  pass_words
  leave
}

{ runner_main; exit; }
