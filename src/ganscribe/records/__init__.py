"""MLflow: what stages record, how it reaches the store, and what is read back from it.

A stage writes what happens to a file (`recording`, `outbox`) and goes on. A process of its own (`sender`)
passes it on to MLflow (`runs`, `store`): a training never waits for a server, nor fails or loses anything
with one.
"""

from ganscribe.records.recording import Recording, reopened_run, stage_run, training_run

__all__ = ["Recording", "reopened_run", "stage_run", "training_run"]
