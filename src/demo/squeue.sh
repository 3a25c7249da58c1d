#!/bin/sh
# Stands in for Slurm's `squeue` in a demonstration: the jobs of one name (--name=NAME), in the one form that llm-proxy
# asks for, its six fields parted by a control character.
JOBS=${0%/*}/../jobs

lives() {
  kill -0 "$1" 2>/dev/null
}

# Whether the job's own process is there: srun while it waits, then the task, which may outlive it.
job_lives() {
  read -r srun <"$1/srun"
  if lives "$srun"; then return 0; fi
  read -r task 2>/dev/null <"$1/task" && lives "$task"
}

squeue_main() {
  NAME=''
  for word in "$@"; do
    case $word in --name=*) NAME=${word#--name=} ;; esac
  done
  for job in "$JOBS"/*; do
    # A job that is just being made has no state yet.
    read -r state reason node 2>/dev/null <"$job/state" || continue
    read -r name <"$job/name"
    [ "$name" = "$NAME" ] || continue
    case $state in
      PENDING | RUNNING)
        : >"$job/seen"
        job_lives "$job" || state=NODE_FAIL reason=None
        ;;
    esac
    printf '%s\037%s\037%s\037N/A\037%s\037UNLIMITED\n' "${job##*/}" "$state" "$reason" "$node"
  done
}

squeue_main "$@"
