"""Versions of what decides the rows of a text. All but the last are part of the fingerprint.

They stand apart from the code that they count, because a run with nothing to do needs them and
imports none of it.
"""

CHUNKER_VERSION = 2
"""Raise it whenever the same text may give other chunks."""

SECRETS_VERSION = 1
"""Raise it whenever the scanner for secrets finds more or less than before."""

SPARSE_VERSION = 1
"""Raise it whenever the same row or query may get other terms."""

MEANING_VERSION = 1
"""Raise it whenever the same file may be embedded that was not before, or the other way round. The
next run reads every file, and writes those again whose rows are to change."""
