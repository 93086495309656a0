"""Commands that run the pipeline: up, down, worker, load, migrate, status, checkpoint, config, completion."""
