"""How a stage runs: checkpoints, one process per stage, where the build stands, progress bars, the Ray engine."""
