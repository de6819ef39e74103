"""Processes: how they are started, and a pool that survives the death of its workers."""
