"""Contents that are put aside: copies of rows, under ids of their own.

The id of a row depends on path and chunk number, so a file's new rows overwrite its old ones. If
the old content moves to another path, whose rows are written later, nobody would find it in
between. So its rows are copied before, and the copies are deleted once it is written there.

A copy differs from its row in the id alone, and is no file's row (see `audit.py`). What a run
leaves behind because it was killed or cut short may be the only copy of its content. So it stays
until a run comes to its end.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence, Set

from msgspec import Struct, field

from indexer.milvus.rows import Row, aside_id, batches, row_id
from indexer.paths import escape_path
from indexer.types import Audit, EmbeddedFile, FileRecord


class Replaced(Struct, frozen=True):
    """What a group of files replaces: rows to copy before it is written, each id with that of
    its copy, and ids of copies to delete after."""

    copies: dict[str, str] = field(default_factory=dict)
    finished: list[str] = field(default_factory=list)


class Aside:
    """Says which rows must be put aside, and keeps track of the copies.

    `known` is what the index holds before the run. `project` is as in `row_id`.
    """

    def __init__(self, known: Audit, project: str = "") -> None:
        self._project = project
        self._copies = {hash_: set(ids) for hash_, ids in known.aside.items()}
        self.expect(frozenset(), known, {})

    @property
    def count(self) -> int:
        """How many copies of rows there are."""
        return sum(map(len, self._copies.values()))

    def expect(
        self, moving: Set[str], known: Audit, holders: Mapping[str, int]
    ) -> None:
        """Begin a pass that will write contents with the blob ids `moving` at paths that do not
        have them; `known` is what the index holds now, and `holders` says how many paths have each
        of the contents. Those of files that are gone count, because their rows are deleted last.
        """
        self._known, self._moving = known, moving
        self._holders = Counter(holders)
        self._holders.update(
            record.file_hash
            for record in known.doubted.values()
            if record.file_hash in moving and record.chunk_count
        )

    def replace(self, group: Sequence[EmbeddedFile], rows: Sequence[Row]) -> Replaced:
        """What a group of files with these rows replaces. It is taken to be written then."""
        changed = [
            (self._indexed(file.record.path), file)
            for file in group
            if not self._is_indexed(file)
        ]
        replaced = [old for old, _ in changed if old is not None]
        arriving = [file.record.file_hash for _, file in changed if file.chunks]
        self._holders.subtract(old.file_hash for old in replaced)
        copies: dict[str, str] = {}
        passing: set[str] = set()
        if replaced:
            calls = [{row["path"] for row in call} for call in batches(rows)]
            torn = Counter(path for call in calls for path in call)
            for old in replaced:
                hash_ = old.file_hash
                is_moving = hash_ in self._moving and self._holders[hash_] <= 0
                # One call is one step for readers. A file that takes several is torn in
                # between, and a line may be absent that moved within it.
                is_safe = len(calls) == 1 and hash_ in arriving
                if is_moving and not is_safe or torn[escape_path(old.path)] > 1:
                    copies.update(self._copy(old))
                    if not is_moving:
                        passing.add(hash_)
        self._holders.update(hash_ for hash_ in arriving if hash_ in self._moving)
        return Replaced(copies, self._take({*arriving, *passing}))

    def take_all(self) -> list[str]:
        """The ids of all copies, which are no longer kept track of."""
        return self._take({*self._copies})

    def _take(self, hashes: Set[str]) -> list[str]:
        return [id_ for hash_ in hashes for id_ in self._copies.pop(hash_, ())]

    def _indexed(self, path: str) -> FileRecord | None:
        """The record of the content that the path has in the index, whole if perhaps in doubt."""
        record = self._known.doubted.get(path) or self._known.records.get(path)
        return record if record and record.file_hash and record.chunk_count else None

    def _is_indexed(self, file: EmbeddedFile) -> bool:
        """Whether the file's path has its very content in the index already."""
        old = self._indexed(file.record.path)
        return bool(file.chunks and old and old.file_hash == file.record.file_hash)

    def _copy(self, old: FileRecord) -> dict[str, str]:
        """The ids of a file's rows, each with that of its copy, which is kept track of."""
        copies = {
            row_id(old.path, number, self._project): aside_id(
                old.path, number, old.file_hash, self._project
            )
            for number in range(old.chunk_count)
        }
        self._copies.setdefault(old.file_hash, set()).update(copies.values())
        return copies
