"""Searching an index: from a question to its answer."""
