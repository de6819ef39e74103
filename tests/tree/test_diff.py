"""Pure functions: tables, and random trees against the obvious definition."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from indexer.config import ALL, MEANING, Embedding
from indexer.tree.diff import (
    COARSE_TICK_NS,
    TICK_NS,
    Classifier,
    compare,
    counted_anew,
    is_racy,
    stat_of,
)
from indexer.types import Change, FileRecord, SourceFile, Stat

SECOND = 1_000_000_000


def source(path: str, stat: Stat = (1, 2, 3, 4)) -> SourceFile:
    return SourceFile(path, *stat)


def record(
    path: str,
    file_hash: str = "h",
    chunks: int = 1,
    reason: str = "",
    stat: Stat | None = (1, 2, 3, 4),
) -> FileRecord:
    return FileRecord(path, stat, file_hash, chunks, reason)


def test_stat_fields_alone_tell_the_unchanged() -> None:
    known = {r.path: r for r in map(record, ("same", "gone"))}
    known["no-stat"] = record("no-stat", stat=None)
    files = [source("same"), source("new"), source("no-stat")]
    comparison = compare(files, known)
    assert comparison.unchanged == [known["same"]]
    assert comparison.suspects == [source("new"), source("no-stat")]
    assert comparison.missing == [known["gone"]]
    assert comparison.suspected_bytes == 2


@pytest.mark.parametrize("field", range(4))
def test_each_stat_field_counts(field: int) -> None:
    stat: list[int] = [1, 2, 3, 4]
    stat[field] += 1
    file = source("a", (stat[0], stat[1], stat[2], stat[3]))
    assert compare([file], {"a": record("a")}).suspects == [file]


def test_force_suspects_every_file() -> None:
    known = {"a": record("a"), "gone": record("gone")}
    comparison = compare([source("a")], known, force=True)
    assert comparison.unchanged == []
    assert comparison.suspects == [source("a")]
    assert comparison.missing == [known["gone"]]


@pytest.mark.parametrize(
    "old, file_hash, change",
    [
        (None, "x", Change.ADDED),
        (record("p", "x"), "x", Change.UNCHANGED),
        (record("p", "x"), "y", Change.MODIFIED),
        (record("p", "x", 0, "binary"), "x", Change.UNCHANGED),
        (record("p", "x", 0, "binary"), "y", Change.ADDED),
        (record("p", "", 0), "x", Change.MODIFIED),  # its rows are not right
        (None, "moved", Change.RENAMED),
        (record("p", "x"), "moved", Change.MODIFIED),
        (record("p", "x", 0, "empty"), "moved", Change.RENAMED),
        (None, "skipped", Change.ADDED),  # what moved had no rows
    ],
)
def test_classify(old: FileRecord | None, file_hash: str, change: Change) -> None:
    missing = [record("old", "moved"), record("logo", "skipped", 0, "binary")]
    known = {r.path: r for r in missing} | ({"p": old} if old else {})
    classifier = Classifier(known, missing)
    assert classifier.classify("p", file_hash) is change
    renamed = {"p": "old"} if change is Change.RENAMED else {}
    assert classifier.renamed_from == renamed


def test_one_origin_makes_one_rename() -> None:
    classifier = Classifier({}, [record("old", "x")])
    assert classifier.classify("copy1", "x") is Change.RENAMED
    assert classifier.classify("copy2", "x") is Change.ADDED


trees = st.dictionaries(st.sampled_from("abcdefgh"), st.sampled_from("123"))


@given(before=trees, after=trees, touched=st.sets(st.sampled_from("abcdefgh")))
def test_every_path_is_accounted_for_once(
    before: dict[str, str], after: dict[str, str], touched: set[str]
) -> None:
    known = {path: record(path, content) for path, content in before.items()}
    files = [
        # A new content shows in the stat fields; so may a mere touch.
        source(
            path,
            (
                (9, 9, 9, 9)
                if path in touched or before.get(path) != content
                else (1, 2, 3, 4)
            ),
        )
        for path, content in after.items()
    ]
    comparison = compare(files, known)
    classifier = Classifier(known, comparison.missing)
    changes = {
        file.path: classifier.classify(file.path, after[file.path])
        for file in comparison.suspects
    }
    unchanged = {r.path for r in comparison.unchanged}
    assert unchanged.isdisjoint(changes)
    assert unchanged | set(changes) == set(after)
    assert {r.path for r in comparison.missing} == set(before) - set(after)
    for path in after:
        change = changes.get(path, Change.UNCHANGED)
        if path in before:
            same = before[path] == after[path]
            assert change is (Change.UNCHANGED if same else Change.MODIFIED)
        else:
            assert change in (Change.ADDED, Change.RENAMED)
    origins = list(classifier.renamed_from.values())
    assert len(origins) == len(set(origins))
    assert set(origins) <= set(before) - set(after)
    for new, old in classifier.renamed_from.items():
        assert changes[new] is Change.RENAMED
        assert before[old] == after[new]
    # As many renames as can be: nothing new equals a missing file that is left over.
    left = {before[path] for path in set(before) - set(after) - set(origins)}
    added = {after[path] for path, change in changes.items() if change is Change.ADDED}
    assert left.isdisjoint(added)


@pytest.mark.parametrize(
    "ctime, read, racy",
    [
        (SECOND + 1, SECOND + 1, True),
        (SECOND + 1, SECOND + 1 + TICK_NS, True),
        (SECOND + 1, SECOND + 2 + TICK_NS, False),
        (SECOND + 5, SECOND + 1, True),  # a clock set back
        (SECOND, SECOND + COARSE_TICK_NS, True),  # a file system of whole seconds
        (SECOND, SECOND + 1 + COARSE_TICK_NS, False),
    ],
)
def test_is_racy(ctime: int, read: int, racy: bool) -> None:
    assert is_racy(SourceFile("a", 1, 0, ctime, 1), read) is racy


def test_stat_of() -> None:
    assert stat_of(source("a", (5, 6, 7, 8))) == (5, 6, 7, 8)


@pytest.mark.parametrize("embeds", [True, False])
@pytest.mark.parametrize("embed", [MEANING, ALL])
@pytest.mark.parametrize("is_plain", [True, False])
@pytest.mark.parametrize(("unembedded", "by_words"), [(0, 0), (2, 0), (1, 0), (0, 2), (0, 1)])  # fmt: skip
def test_a_file_is_a_suspect_until_its_vectors_are_as_wanted(
    embeds: bool, embed: str, is_plain: bool, unembedded: int, by_words: int
) -> None:
    known = replace(
        record("a", chunks=2),
        unembedded=unembedded,
        by_words=by_words,
        is_plain=is_plain,
    )
    found = compare(
        [source("a")], {"a": known}, embeds=embeds, embedding=Embedding(embed)
    )
    if is_plain and embed == MEANING:
        is_right = by_words == 2
    else:
        is_right = not by_words and not (embeds and unembedded)
    assert bool(found.unchanged) == is_right != bool(found.suspects)
    # What is counted anew has as many rows without a vector as before.
    for wanted in (True, False):
        now = counted_anew(known, by_words=wanted)
        counts = (now.by_words, now.unembedded) if wanted else (now.unembedded, now.by_words)  # fmt: skip
        assert counts == (unembedded + by_words, 0)
