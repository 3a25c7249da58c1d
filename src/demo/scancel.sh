#!/bin/sh
# Stands in for Slurm's `scancel` in a demonstration: ends the jobs of one name (--name=NAME), or those of these numbers.
JOBS=${0%/*}/../jobs

cancel() {
  read -r state _ 2>/dev/null <"$1/state" || return
  case $state in PENDING | RUNNING) ;; *) return ;; esac
  read -r pid <"$1/srun"
  if kill -TERM "$pid" 2>/dev/null; then return; fi
  # Its srun is gone, and the task may run on.
  read -r pid 2>/dev/null <"$1/task" && kill -TERM "$pid" 2>/dev/null
}

cancel_named() {
  for job in "$JOBS"/*; do
    read -r name 2>/dev/null <"$job/name" || continue
    if [ "$name" = "$1" ]; then cancel "$job"; fi
  done
}

scancel_main() {
  for word in "$@"; do
    case $word in
      --name=*) cancel_named "${word#--name=}" ;;
      -*) ;;
      *) cancel "$JOBS/$word" ;;
    esac
  done
  exit 0
}

scancel_main "$@"
