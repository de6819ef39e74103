"""Processes: how they are started, and a pool that survives its workers."""
