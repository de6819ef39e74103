"""Variables in the environment that look like ours, but that no command reads."""

from __future__ import annotations

import os
from collections.abc import Iterator

from indexer.settings import requests
from indexer.settings.declarations import SETTINGS
from indexer.settings.setting import Setting

PREFIX = "CODX_INDEX_"
# Those that are no options.
OTHERS = {
    PREFIX + name
    for name in (
        *("DEVICE", "BACKEND", "WEBHOOK_SECRET"),
        *("API_KEY", "API_KEY_OVER_HTTP", "MCP_TOKEN"),
    )
}
# Those of our own tests, which docs/reference/settings.md does not list.
_OF_TESTS = tuple(
    PREFIX + name for name in ("FAULT", "CRASH_", "FUZZ_", "READS", "SEED_")
)


def known_variables() -> set[str]:
    """Every variable that some command reads."""
    asked = [one for one in vars(requests).values() if isinstance(one, Setting)]
    return OTHERS | {
        one.variable
        for one in (*SETTINGS, *asked)
        if one.has_option and one.has_variable
    }


def unknown_variables() -> Iterator[str]:
    """A line about each variable with our prefix that no command reads.

    Its value is not shown, because it may be a secret.
    """
    ours = [name for name in os.environ if name.upper().startswith(PREFIX)]
    known = known_variables() if ours else set()
    for name in sorted(ours):
        if name not in known and not name.startswith(_OF_TESTS):
            yield f"{name} is not read by any command: {_advice(name.upper(), known)}"


def _advice(name: str, known: set[str]) -> str:
    from difflib import get_close_matches

    # A switch is set to 0, and a group's key has `.enabled`: the rest of the name tells.
    stem = name.removesuffix("_ENABLED").replace(PREFIX + "NO_", PREFIX)
    if stem in known:
        return f"is it {stem}{'=0' if '_NO_' in name else ''}?"
    names = sorted(one.removeprefix(PREFIX) for one in known)
    nearest = get_close_matches(name.removeprefix(PREFIX), names, n=1)
    if nearest:
        return f"is it {PREFIX}{nearest[0]}?"
    return "docs/reference/settings.md lists the variables"
