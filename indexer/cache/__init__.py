"""The embedding cache: its SQLite files, their pruning, export and import."""
