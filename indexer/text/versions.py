"""Versions of what decides the rows of a text. All of them are part of the fingerprint.

They stand apart from the code that they count, because a run with nothing to do needs them and
imports none of it.
"""

CHUNKER_VERSION = 2
"""Raise it whenever the same text may give other chunks."""

SECRETS_VERSION = 1
"""Raise it whenever the scanner for secrets finds more or less than before."""

SPARSE_VERSION = 1
"""Raise it whenever the same row or query may get other terms."""
