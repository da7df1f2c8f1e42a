"""Where the work is done: in this process, or on a Ray cluster (GANSCRIBE_ENGINE=ray, RAY_ADDRESS).

Ray advances only the state from which a stage resumes anyway: the shards in the extraction's working folder, or a
training's checkpoint. The stage itself then continues from there to its end, as it does after an interruption. So a run
may change its engine half way, and what a killed worker had finished is kept. The project's folder has to be at the
same path on every node (a shared file system).
"""
