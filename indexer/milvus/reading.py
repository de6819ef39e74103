"""What a reader needs: that the collection is loaded, or to know where it is."""

from __future__ import annotations

import re
from collections.abc import Iterable
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

from indexer.errors import AccessError, NoIndexError
from indexer.milvus.client import Guard
from indexer.milvus.internals import is_loaded

if TYPE_CHECKING:
    from pymilvus import MilvusClient

SHOWN_NAMES = 20

_PHYSICAL = re.compile(r"(.+)__[0-9a-f]{8}")


def load_to_read(client: MilvusClient, guard: Guard, physical: str) -> None:
    """Load a collection of a server if it is not loaded.

    A reader may lack the right to load it, or even to ask. Then reading will show whether it is loaded.
    """
    load = partial(guard.call, client.load_collection, physical)
    try:
        is_ready = guard.call(is_loaded, client, physical)
    except AccessError:
        with suppress(AccessError):
            load()
        return
    if not is_ready:
        load()


def no_collection(name: str, where: str, there: Iterable[str] = ()) -> NoIndexError:
    """The error for a reader whose collection is not at the address `where`.

    `there` has the names of all collections of this Milvus, if the reader may know them.
    """
    message = f"no collection {name!r} at {where}: build it with codx-index run"
    found = sorted({one[1] for one in map(_PHYSICAL.fullmatch, there) if one})
    if found:
        shown = ", ".join(found[:SHOWN_NAMES])
        more = f" and {len(found) - SHOWN_NAMES:,} more" * (len(found) > SHOWN_NAMES)
        message += f", or choose an existing one with --collection ({shown}{more})"
    return NoIndexError(message)
