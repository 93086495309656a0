"""What support sees and does: accounts, grants, refunds, settings, dead letters, and the state of the pipeline."""
