"""Starts a first index from another one, so that a run only does what differs.

It copies the database, and what is known about each content. Stat fields are those of this
tree or none, so a file counts as current only if git vouches for its bytes or a run has read them.
Everything else is an ordinary run, which makes the index equal to the tree.

The copy is made beside the state, checked, and put in place: first the database, because
nothing is believed without it, then the manifest. A run that dies in between leaves rows without a manifest,
and the next run reads these.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import replace

from msgspec import structs

from indexer.config import AUTO, NO_SEED, Settings
from indexer.errors import CodxIndexError, GitError, StateError
from indexer.faults import reach
from indexer.index.collection import physical_of, place_of
from indexer.index.identity import Identity
from indexer.index.manifest import COMPLETE, DIRTY, PARTIAL, Manifest
from indexer.index.seed import About, FolderSeed, Seed
from indexer.index.state_folder import remove_seed_draft, seed_draft
from indexer.milvus.internals import check_segments
from indexer.milvus.on_disk import missing_part, signature
from indexer.milvus.snapshot import sync_folder
from indexer.report import IgnoredSeed, Seeded
from indexer.tree.vouched import Vouched
from indexer.tree.work_trees import other_folders

MOST_NEIGHBOURS = 32  # work trees that are looked at


def start_from_another(
    settings: Settings, identity: Identity, warn: Callable[[str], None]
) -> tuple[Seeded | None, list[IgnoredSeed]]:
    """Put a copy of the best other index in our place, where none exists, under the lock of the run.

    Returns which one it was (None: there is none), and which ones could not be used. `warn` is told about
    the one that was asked for, and about the nearest if none could be used.
    """
    draft = seed_draft(settings)
    ignored: list[IgnoredSeed] = []
    vouched = Vouched(settings.project if settings.uses_git else "")
    seeded = None
    for seed, found in _seeds(settings, identity, vouched, draft, ignored):
        try:
            _plant(settings, identity, seed, found, vouched, draft)
        except (CodxIndexError, OSError) as error:
            ignored.append(IgnoredSeed(seed.origin, _reason(error)))
        else:
            seeded = Seeded(seed.origin)
            break
        finally:
            remove_seed_draft(settings)
    if ignored and (seeded is None or settings.seed != AUTO):
        first = ignored[0]
        warn(f"the index of {first.origin} is not started from: {first.reason}")
    return seeded, ignored


def _seeds(
    settings: Settings,
    identity: Identity,
    vouched: Vouched,
    draft: str,
    ignored: list[IgnoredSeed],
) -> Iterator[tuple[Seed, About]]:
    """The seeds that can be used, the best first: the named one, then the nearest work trees."""
    if settings.seed == NO_SEED:
        return
    if settings.seed != AUTO:
        named = _named(settings)
        try:
            yield named, _usable(named, settings, identity, draft)
        except (CodxIndexError, OSError) as error:
            remove_seed_draft(settings)
            ignored.append(IgnoredSeed(named.origin, _reason(error)))
    found: list[tuple[int, FolderSeed, About]] = []
    for seed in _neighbours(settings):
        try:
            of_seed = _usable(seed, settings, identity, draft)
        except (CodxIndexError, OSError) as error:
            ignored.append(IgnoredSeed(seed.origin, _reason(error)))
            continue
        hashes = {path: one.file_hash for path, one in of_seed.records.items()}
        found.append((vouched.agreement(hashes), seed, of_seed))
    found.sort(key=lambda one: -one[0])
    for _, seed, of_seed in found:
        yield seed, of_seed


def _named(settings: Settings) -> Seed:
    if os.path.isdir(settings.seed):
        return FolderSeed(_of_folder(settings, os.path.realpath(settings.seed)))
    if "://" in settings.seed:
        from indexer.index.seed_address import AddressSeed

        return AddressSeed(settings.seed)
    from indexer.index.seed_file import FileSeed

    return FileSeed(settings.seed)


def _neighbours(settings: Settings) -> Iterator[FolderSeed]:
    """Other work trees of the repository that have an index, the most recently changed first."""
    if not settings.uses_git or settings.origin:
        return
    try:
        folders = other_folders(settings.project)
    except GitError:
        return
    found = []
    for folder in folders:
        of_folder = _of_folder(settings, folder)
        with suppress(OSError):
            changed = os.stat(of_folder.manifest_path).st_mtime_ns
            found.append((changed, folder, FolderSeed(of_folder)))
    for _, _, seed in sorted(found, reverse=True)[:MOST_NEIGHBOURS]:
        yield seed


def _of_folder(settings: Settings, folder: str) -> Settings:
    return replace(settings, project=folder, seed=NO_SEED)


def _usable(seed: Seed, settings: Settings, identity: Identity, draft: str) -> About:
    """What is known about the index. Raises `StateError` if it is not like ours."""
    if not isinstance(seed, FolderSeed):
        os.mkdir(draft, 0o700)
    found = seed.about(draft)
    if not found.fingerprint or not found.place:
        raise StateError("it is not known what it has")
    if found.place != place_of(settings):
        raise StateError("it is in another collection, or on a server")
    if found.fingerprint != identity.fingerprint:
        raise StateError("it was built with other settings")
    return found


def _plant(
    settings: Settings,
    identity: Identity,
    seed: Seed,
    found: About,
    vouched: Vouched,
    draft: str,
) -> None:
    """Copy the index, check the copy, and put it in place."""
    os.makedirs(draft, 0o700, exist_ok=True)
    database = seed.copy_to(draft)
    reach("copied")
    physical = physical_of(settings, identity.fingerprint)
    is_sound = found.state in (COMPLETE, PARTIAL) and (
        found.mark != "" and found.mark == signature(database, physical)
    )
    try:
        check_segments(database, physical)
    except (ValueError, OSError) as error:
        raise StateError("its database is damaged") from error
    if not is_sound:
        _check_rows(database, settings.collection_name)
    stats = vouched.stats({path: one.file_hash for path, one in found.records.items()})
    records = [
        structs.replace(one, stat=stats.get(path))
        for path, one in found.records.items()
    ]
    os.rename(database, settings.database)
    sync_folder(settings.state_dir)
    reach("planted")
    with Manifest(settings.manifest_path) as manifest:
        manifest.reset(
            records,
            place=found.place,
            fingerprint=found.fingerprint,
            state=found.state if is_sound else DIRTY,
            mark=found.mark if is_sound else "",
        )
    reach("seeded")


def _check_rows(database: str, name: str) -> None:
    """Read every row of the copy of a database that was being written, or was left half written.

    Raises a `CodxIndexError` if it cannot be opened, or lacks some rows.
    """
    from indexer.milvus.embedded import open_to_read

    if path := missing_part(database, name):
        raise StateError(f"{os.path.basename(path)} of its database is missing")
    folder = os.path.dirname(database)
    with closing(open_to_read(database, folder, name, patience=0)) as store:
        store.open()
        for _ in store.keys():
            pass


def _reason(error: CodxIndexError | OSError) -> str:
    if isinstance(error, OSError):
        return error.strerror or str(error)
    return str(error)
