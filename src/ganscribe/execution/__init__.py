"""How a stage runs: checkpoints, one process per stage, progress bars, the Ray engine."""
