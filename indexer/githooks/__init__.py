"""The hooks of git: where they lie, what stands in them, and when the work of one may begin."""
