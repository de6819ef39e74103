"""The parts of a run, and the other commands that look at a whole project."""
