"""The CPU-bound work: what a worker does, and the scheduler that feeds it."""
