"""MLflow: what stages record, how it reaches the store, and what is read back from it.

A stage writes what happens to a file (`recording`, `outbox`) and goes on. A separate process (`sender`) passes it on to
MLflow (`runs`, `store`). So a training never waits for a server, never fails because of one, and loses nothing.
"""

from ganscribe.records.recording import Recording, reopened_run, stage_run, training_run

__all__ = ["Recording", "reopened_run", "stage_run", "training_run"]
