"""Commands that run the pipeline: up, down, worker, load, migrate, status, checkpoint, seal, config and completion."""
