"""Every setting of the project, and where each value comes from."""
