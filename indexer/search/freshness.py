"""Is the index as new as the tree? A look that a reader can afford."""

from __future__ import annotations

import os

from indexer.config import Settings
from indexer.index import stamp
from indexer.index.manifest import Manifest
from indexer.milvus.on_disk import is_locked

AT_WORK = (
    "a run is at work on this index: what it has not reached yet is found as it was"
)
BEHIND = (
    "files have changed since the last run: codx-index run brings the index up to date"
)

PARTLY = "{:,} of {:,} chunks are not embedded yet: these are found by words alone"


def remark(settings: Settings) -> str:
    """What a person who searches should know of the index's age, "" if nothing.

    As cheap as `git status`. Where no stamp tells, only the files of the index are looked at:
    new ones go unseen.
    """
    if not settings.has_state:
        return ""
    if is_locked(settings.lock_path):
        return AT_WORK
    agrees = stamp.is_as_stamped(settings)
    with Manifest(settings.manifest_path, readonly=True) as manifest:
        if agrees is None:
            agrees = all(
                _is_as_recorded(settings.project, record.path, record.stat)
                for record in manifest.records().values()
            )
        lacking, total = manifest.unembedded_total(), manifest.chunk_total()
    remarks = [] if agrees else [BEHIND]
    if 0 < lacking < total:
        remarks.append(PARTLY.format(lacking, total))
    return "; ".join(remarks)


def _is_as_recorded(
    project: str, path: str, stat: tuple[int, int, int, int] | None
) -> bool:
    try:
        now = os.lstat(os.path.join(project, path))
    except OSError:
        return False
    fields = (now.st_size, now.st_mtime_ns, now.st_ctime_ns, now.st_ino)
    return stat is None or stat == fields
