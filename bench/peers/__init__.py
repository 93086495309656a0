"""Other stream processors with the benchmark's price book, to run beside the pipeline (`python -m bench --peers`)."""
