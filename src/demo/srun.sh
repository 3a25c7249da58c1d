#!/bin/sh
# Stands in for Slurm's `srun` in a demonstration: a job waits in the queue for a moment, then runs here, as if it ran on
# the node. It takes options of the form --name=value, and its job can be seen and ended by the `squeue` and the
# `scancel` beside it. A job is a folder: `name`, `srun` and `task` (process ids), `state` (state, reason, node).
JOBS=${0%/*}/../jobs
NODE=demo-node1
QUEUE_TENTHS=15
UNSEEN_TENTHS=100

say() {
  printf 'srun: %s\n' "$*" >&2
}

set_state() {
  printf '%s\n' "$*" >"$JOB/state.new" && mv "$JOB/state.new" "$JOB/state"
}

new_job() {
  ID=1
  until mkdir "$JOBS/$ID" 2>/dev/null; do
    if [ ! -d "$JOBS/$ID" ]; then
      say "error: Unable to allocate resources: $JOBS cannot be written"
      exit 1
    fi
    ID=$((ID + 1))
  done
  JOB=$JOBS/$ID
  printf '%s\n' "$NAME" >"$JOB/name"
  printf '%s\n' "$$" >"$JOB/srun"
  set_state PENDING Resources
}

# In the background, so that a signal is heard at once.
pause() {
  (sleep 0.1 2>/dev/null || sleep 1) &
  wait "$!"
}

# Whether a process of a job is there: its srun, or the task, which may outlive it.
lives() {
  for part in srun task; do
    if read -r pid 2>/dev/null <"$1/$part" && kill -0 "$pid" 2>/dev/null; then return 0; fi
  done
  return 1
}

# --dependency=singleton: one job of a name at a time.
earlier_lives() {
  for job in "$JOBS"/*; do
    [ "${job##*/}" -lt "$ID" ] || continue
    read -r word _ 2>/dev/null <"$job/state" || continue
    case $word in PENDING | RUNNING) ;; *) continue ;; esac
    read -r name <"$job/name"
    if [ "$name" = "$NAME" ] && lives "$job"; then return 0; fi
  done
  return 1
}

# For a moment, and until somebody has looked, so that whoever watches sees a queue; but not for ever.
wait_in_queue() {
  tenths=0
  while [ "$tenths" -lt "$QUEUE_TENTHS" ] || { [ ! -e "$JOB/seen" ] && [ "$tenths" -lt "$UNSEEN_TENTHS" ]; }; do
    pause
    tenths=$((tenths + 1))
  done
  while earlier_lives; do
    set_state PENDING Dependency
    pause
  done
}

# TERM, INT or HUP, from `scancel` or from whoever ends the launcher: a job that waits is given up, one that runs is told.
cancel() {
  CANCELLED=1
  if [ -n "$TASK" ]; then
    kill -TERM "$TASK" 2>/dev/null
    return
  fi
  set_state CANCELLED None
  say "Job allocation $ID has been revoked"
  exit 1
}

# A signal ends a `wait` early.
wait_for_task() {
  while :; do
    wait "$TASK"
    CODE=$?
    kill -0 "$TASK" 2>/dev/null || return
  done
}

run_task() {
  set_state RUNNING None "$NODE"
  SLURM_JOB_ID=$ID SLURMD_NODENAME=$NODE "$@" <&3 3<&- &
  TASK=$!
  exec 3<&-
  printf '%s\n' "$TASK" >"$JOB/task"
  wait_for_task
  if [ -n "$CANCELLED" ]; then
    set_state CANCELLED None "$NODE"
  elif [ "$CODE" = 0 ]; then
    set_state COMPLETED None "$NODE"
  else
    set_state FAILED NonZeroExitCode "$NODE"
  fi
  exit "$CODE"
}

srun_main() {
  NAME='' TASK='' CANCELLED=''
  while :; do
    case ${1-} in
      --version)
        printf 'a stand-in for slurm\n'
        exit
        ;;
      --job-name=*) NAME=${1#--job-name=} ;;
      -*) ;;
      *) break ;;
    esac
    shift
  done
  exec 3<&0 </dev/null
  trap cancel TERM INT HUP
  new_job
  say "job $ID queued and waiting for resources"
  wait_in_queue
  say "job $ID has been allocated resources"
  run_task "$@"
}

srun_main "$@"
