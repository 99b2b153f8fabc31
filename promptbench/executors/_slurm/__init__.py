"""What the executor `slurm` is made of: its table of a profile, its commands, its batch script."""
