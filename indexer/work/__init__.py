"""CPU-bound work: the worker, where workers run, and the scheduler."""
