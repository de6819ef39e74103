"""Never absent: after every call of every write, each content that is to stay is there, whole.

The trees, the order in which files get ready, groups, and the moment of a kill are Hypothesis's.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from writer_bench import Bench, make_file

from indexer.index import writer as writing
from indexer.index.audit import audit
from indexer.index.manifest import COMPLETE, DIRTY
from indexer.index.writer import Writer
from indexer.milvus import rows as milvus_rows
from indexer.milvus import table
from indexer.milvus.rows import row_id
from indexer.types import Audit, Change, EmbeddedFile, Outcome

PATHS = "abcdefg"
# Contents by the number of their chunks. A call takes four rows, so the last two need two.
CHUNKS = {
    "nothing": 0,
    "one": 1,
    "two": 2,
    "three": 3,
    "four": 4,
    "five": 5,
    "seven": 7,
}
CALL_ROWS = 4

Tree = Mapping[str, str]  # the content of each path
trees = st.dictionaries(st.sampled_from(PATHS), st.sampled_from([*CHUNKS]))
shuffled = st.permutations([*CHUNKS]).map(lambda some: dict(zip(PATHS, some)))


class Killed(BaseException):
    """A run dies here."""


@dataclass
class Watch:
    """Looks at the collection after each call that writes to it."""

    bench: Bench
    kept: set[str] = field(default_factory=set)
    calls: int = 0
    dies_after: int | None = None

    def look(self) -> None:
        there = whole_contents(self.bench)
        assert self.kept <= there, f"absent: {self.kept - there}"
        self.calls += 1
        if self.calls == self.dies_after:
            raise Killed


def whole_contents(bench: Bench) -> set[str]:
    """The contents of which all rows are there in one place."""
    numbers: dict[tuple[str, str, int], set[int]] = {}
    for key in bench.open_store().keys():
        version = key.path, key.file_hash, key.chunk_count
        numbers.setdefault(version, set()).add(key.chunk_no)
    return {hash_ for (_, hash_, count), some in numbers.items() if len(some) == count}


@contextmanager
def watching(bench: Bench, watch: Watch) -> Iterator[None]:
    client = bench.open_store()._client
    with pytest.MonkeyPatch.context() as patch:
        for name in ("upsert", "delete"):
            method = getattr(client, name)

            def call(*given: Any, method: Any = method, **options: Any) -> Any:
                answer = method(*given, **options)
                watch.look()
                return answer

            patch.setattr(client, name, call)
        yield


def embedded(path: str, content: str) -> EmbeddedFile:
    chunks = CHUNKS[content]
    return make_file(path, chunks, content, reason="" if chunks else "binary")


def put(bench: Bench, tree: Tree) -> None:
    """Make the collection hold a tree, by other means than the writer's."""
    store = bench.open_store()
    store.delete([key.id for key in store.keys()])
    files = [embedded(path, content) for path, content in sorted(tree.items())]
    store.upsert([row for file in files for row in milvus_rows.file_rows(file)])
    bench.manifest.reset([file.record for file in files], state=COMPLETE)


def moving(known: Audit, changed: Sequence[str], tree: Tree) -> set[str]:
    """What the run learns by reading ahead."""
    old = {path: known.doubted.get(path) or known.records.get(path) for path in changed}
    return {
        tree[path]
        for path in changed
        for other, record in old.items()
        if record and other != path and record.file_hash == tree[path]
    }


def write(
    bench: Bench, known: Audit, tree: Tree, order: Sequence[str], cut: int | None = None
) -> Writer:
    """What a run does that makes the collection hold a tree, unless it is cut after some files."""
    records = known.records
    changed = [
        path
        for path in order
        if path in tree
        and (path not in records or records[path].file_hash != tree[path])
    ]
    writer = bench.writer(known)
    writer.begin_pass(known, moving(known, changed, tree), embeds=True)
    for path in changed[:cut]:
        writer.add(embedded(path, tree[path]), Outcome(Change.MODIFIED))
    writer.commit()
    if cut is None:
        gone = [record for path, record in records.items() if path not in tree]
        writer.delete(gone)
    writer.finish(complete=cut is None)
    return writer


def assert_exact(bench: Bench, tree: Tree) -> None:
    found = sorted((k.id, k.path, k.file_hash) for k in bench.open_store().keys())
    assert found == sorted(
        (row_id(path, number), path, content)
        for path, content in tree.items()
        for number in range(CHUNKS[content])
    )


def audited(bench: Bench, doubted: frozenset[str] = frozenset()) -> Audit:
    """What the rows say, as a run finds that follows a kill."""
    known = audit(bench.open_store().keys(), bench.manifest.records(), doubted)
    bench.manifest.reset(known.records.values(), state=DIRTY)
    return known


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    with (
        closing(Bench(tmp_path_factory.mktemp("aside"))) as made,
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setattr(milvus_rows, "UPSERT_ROWS", CALL_ROWS)
        patch.setattr(table, "UPSERT_ROWS", CALL_ROWS)
        patch.setattr(writing, "GROUP_SECONDS", 1e9)
        yield made


def kept(*of: Tree) -> set[str]:
    """The contents that have rows in all of the trees."""
    return set.intersection(*(set(tree.values()) for tree in of)) - {"nothing"}


often = pytest.mark.parametrize(
    "examples", [12, pytest.param(1000, marks=pytest.mark.slow)]
)


@often
def test_whatever_moves_where(shared: Bench, examples: int) -> None:
    @settings(max_examples=examples, deadline=None)
    @given(
        before=trees | shuffled,
        after=trees | shuffled,
        order=st.permutations(PATHS),
        group=st.sampled_from([1, 3, 6, 100]),
        doubted=st.frozensets(st.sampled_from(PATHS)),
    )
    def check(
        before: Tree,
        after: Tree,
        order: list[str],
        group: int,
        doubted: frozenset[str],
    ) -> None:
        put(shared, before)
        known = audited(shared, doubted) if doubted else None
        with (
            groups_of(group),
            watching(shared, Watch(shared, kept(before, after))),
        ):
            known = known or Audit(shared.manifest.records(), {})
            writer = write(shared, known, after, order)
        assert writer.is_tidy
        assert_exact(shared, after)

    check()


@often
def test_a_kill_or_a_cut_on_the_way(shared: Bench, examples: int) -> None:
    """The next run is exact, and what was there before both is never absent."""

    @settings(max_examples=examples, deadline=None)
    @given(
        before=shuffled,
        after=shuffled,
        later=st.none() | shuffled,
        order=st.permutations(PATHS),
        group=st.sampled_from([1, 3, 6, 100]),
        death=st.integers(1, 12),
        is_cut=st.booleans(),
    )
    def check(
        before: Tree,
        after: Tree,
        later: Tree | None,
        order: list[str],
        group: int,
        death: int,
        is_cut: bool,
    ) -> None:
        put(shared, before)
        wanted = kept(before, after, later or after)
        known = Audit(shared.manifest.records(), {})
        first = Watch(shared, wanted, dies_after=None if is_cut else death)
        with groups_of(group):
            with watching(shared, first), suppress(Killed):
                write(shared, known, after, order, death if is_cut else None)
            with watching(shared, Watch(shared, wanted)):
                writer = write(shared, audited(shared), later or after, order)
        assert writer.is_tidy
        assert_exact(shared, later or after)

    check()


@contextmanager
def groups_of(rows: int) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(writing, "GROUP_ROWS", rows)
        yield
