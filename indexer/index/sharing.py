"""What is different for a project that shares its collection with others."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from indexer.config import AUTO, Settings, key_of_project
from indexer.milvus.ledger import Ledger
from indexer.milvus.shared import SharedStore, refuse_other_settings
from indexer.milvus.store import FINGERPRINT
from indexer.vectors.backend import cpu_has_bf16

if TYPE_CHECKING:
    from indexer.milvus.store import MakeStore


def shared_store_maker(settings: Settings) -> MakeStore:
    """What makes the store of a project's part of the collection that it shares."""
    read: dict[str, str] | None = None
    if settings.searched is not None:
        labels = settings.searched or (settings.project_label,)
        read = {key_of_project(label): label for label in labels}
    return partial(
        SharedStore,
        project=settings.project_key,
        label=settings.project_label,
        read=read,
        ledger=ledger_of(settings) if settings.database else None,
    )


def ledger_of(settings: Settings) -> Ledger:
    """The ledger of the embedded database that the settings name."""
    return Ledger(settings.database, settings.state_dir, settings.collection_name)


def told_settings(settings: Settings) -> dict[str, str]:
    """The settings that all projects of the collection must share, but for the model's."""
    languages = json.dumps(dict(sorted(settings.languages)))
    return {"codx.secrets": settings.secrets, "codx.languages": languages}


def refuse_others(
    settings: Settings,
    found: Mapping[str, str],
    fingerprint: str,
    ours: Mapping[str, str],
) -> None:
    """Raise `ForeignCollectionError` for a collection with the properties `found`, {} for none,
    if it has another fingerprint. The properties `ours` are those that we would give to it.
    """
    refuse_other_settings(
        settings.shared_collection,
        settings.address,
        found,
        {**ours, FINGERPRINT: fingerprint},
    )


def with_precision(settings: Settings, precision: str) -> Settings:
    """The settings with the precision that the collection has, "" for none, where `auto` leaves it
    open, so that hosts with different CPUs can write one collection.

    Where this CPU does not have it, the settings stay as they are, and the run is refused.
    """
    if settings.precision != AUTO:
        return settings
    if not precision or (precision == "bf16" and not cpu_has_bf16()):
        return settings
    return replace(settings, precision=precision)
