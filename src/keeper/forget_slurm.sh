# For whatever starts `srun`.

# Inside somebody's allocation these would make our job a step of it. Kept: what a user or a site sets once for all
# jobs, and no allocation sets.
forget_slurm() {
  for name in $(env | sed -n -e 's/^\(SLURM_[A-Za-z0-9_]*\)=.*/\1/p' -e 's/^\(SRUN_[A-Za-z0-9_]*\)=.*/\1/p' \
    -e 's/^\(SBATCH_[A-Za-z0-9_]*\)=.*/\1/p' -e 's/^\(SALLOC_[A-Za-z0-9_]*\)=.*/\1/p'); do
    case $name in
      SLURM_CONF | SLURM_CLUSTERS | SLURM_ACCOUNT | SLURM_PARTITION | SLURM_QOS | SLURM_RESERVATION) ;;
      SLURM_CONSTRAINT | SLURM_TIMELIMIT | SLURM_WCKEY) ;;
      *) unset "$name" ;;
    esac
  done
}
