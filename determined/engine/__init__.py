"""The only place that decides: facts in, effects out, nothing else."""
