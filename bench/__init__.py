"""What the pipeline can do on this machine, beside plain Faust and beside the same loop without Faust."""
