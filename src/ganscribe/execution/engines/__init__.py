"""Where the work is done: in this process, or on a Ray cluster (GANSCRIBE_ENGINE=ray, RAY_ADDRESS).

Ray only moves the state on that a stage resumes from anyway: shards in the extraction's working folder, a
training's checkpoint. Then the stage itself ends from there, as it does after an interruption. So a run may
change its engine half way, and what a killed worker had finished is kept. The project's folder has to be at
the same place on every node (a shared file system).
"""
