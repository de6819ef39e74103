"""Remembers what was expensive to find out, as long as what it was found from stays as it was."""

from __future__ import annotations

import json
import os
from typing import Any


def recall(memo: str, stamp: Any) -> Any:
    """The value that `remember` kept in the file `memo` under an equal stamp, or None."""
    try:
        with open(memo, encoding="utf-8") as file:
            kept = json.load(file)
        return kept["value"] if kept["stamp"] == stamp else None
    except (OSError, ValueError, LookupError, TypeError):
        return None


def remember(memo: str, stamp: Any, value: Any) -> None:
    """Keep `value` for `recall`. That the file cannot be written is no failure."""
    import tempfile  # slow to import

    try:
        os.makedirs(os.path.dirname(memo), exist_ok=True)
        descriptor, part = tempfile.mkstemp(dir=os.path.dirname(memo), prefix=".tmp-")
        with open(descriptor, "w", encoding="utf-8") as file:
            json.dump({"stamp": stamp, "value": value}, file)
        os.replace(part, memo)
    except OSError:
        pass
