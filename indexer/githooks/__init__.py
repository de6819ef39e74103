"""The hooks of git: where they are, what is in them, and when the work of one may begin."""
