"""The cache never raises, whatever was done to its file, and stays within its bound."""

from __future__ import annotations

import hashlib
import os
import random
import shutil
import sqlite3
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from indexer.cache import file as cache_file
from indexer.cache import folder as cache_folder
from indexer.cache import sqlite
from indexer.cache import transfer as cache_transfer
from indexer.cache.contents import describe
from indexer.cache.embeddings import EmbeddingCache
from indexer.cache.entry import Key, Source, checksum, key_of
from indexer.cache.folder import cache_bytes
from indexer.cache.pruning import prune
from indexer.cache.transfer import export_entries, import_entries
from indexer.errors import CacheError, UsageError
from indexer.types import Chunk

DIMENSION = 16
IDENTITY = "0123456789abcdef" * 4
OTHER = "f" * 64
NOBODY = 65534
Vectors = dict[Key, NDArray[np.float32]]


def some_vectors(count: int = 1000, seed: int = 0) -> Vectors:
    rng = np.random.default_rng(seed)
    vectors = rng.standard_normal((count, DIMENSION)).astype(np.float32)
    return {
        hashlib.sha256(b"%d %d" % (seed, n)).digest(): vector
        for n, vector in enumerate(vectors)
    }


def are_equal(a: Vectors, b: Vectors) -> bool:
    return a.keys() == b.keys() and all(
        a[key].dtype == np.float32 and a[key].tobytes() == b[key].tobytes() for key in a
    )


def part_of(found: Vectors, whole: Vectors) -> bool:
    return are_equal(found, {key: whole[key] for key in found if key in whole})


class Warnings(list[str]):
    def __call__(self, message: str) -> None:
        self.append(message)


def open_cache(
    folder: Path, warn: Callable[[str], None], identity: str = IDENTITY
) -> EmbeddingCache:
    return EmbeddingCache(str(folder), Source(identity, DIMENSION), warn)


def path_in(folder: Path, identity: str = IDENTITY) -> Path:
    return folder / f"embeddings-1-{identity[:16]}.sqlite"


def fill(folder: Path, vectors: Vectors, identity: str = IDENTITY) -> Path:
    warnings = Warnings()
    with closing(open_cache(folder, warnings, identity)) as cache:
        cache.put(vectors)
        cache.commit()
    assert warnings == []
    return path_in(folder, identity)


def read(
    folder: Path,
    vectors: Vectors,
    warn: Callable[[str], None],
    identity: str = IDENTITY,
) -> Vectors:
    with closing(open_cache(folder, warn, identity)) as cache:
        return cache.get(vectors)


@pytest.fixture
def day(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Sets what day it is."""

    def be(number: int) -> None:
        for module in (cache_file, cache_transfer):
            monkeypatch.setattr(module, "current_day", lambda: number)

    be(100)
    return be


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (cache_folder, sqlite):
        monkeypatch.setattr(module, "PATIENCE", 0.3)


def test_vectors_come_back_bit_for_bit(tmp_path: Path) -> None:
    vectors, warnings = some_vectors(), Warnings()
    vectors[b"odd"] = np.array([-0.0, 1e-45, np.inf, *range(13)], np.float32)
    with closing(open_cache(tmp_path, warnings)) as cache:
        assert cache.get(vectors) == {}
        cache.put(vectors)
        assert are_equal(cache.get(vectors), vectors)
        cache.commit()
        assert are_equal(cache.get([*vectors, *vectors, b"unknown"]), vectors)
    assert are_equal(read(tmp_path, vectors, warnings), vectors)
    assert warnings == []


def test_what_was_not_committed_is_forgotten(tmp_path: Path) -> None:
    warnings = Warnings()
    with closing(open_cache(tmp_path, warnings)) as cache:
        cache.put(some_vectors())
    assert read(tmp_path, some_vectors(), warnings) == {}


def test_nothing_is_opened_before_the_first_use(tmp_path: Path) -> None:
    folder = tmp_path / "not" / "there"
    with closing(open_cache(folder, Warnings())) as cache:
        cache.commit()
        assert not folder.parent.exists()
        cache.get([b"key"])
        assert folder.exists()


def test_it_is_closed_to_others(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        with closing(open_cache(tmp_path / "new", Warnings())) as cache:
            cache.put(some_vectors())
            cache.commit()
            modes = {
                name: stat.S_IMODE((tmp_path / "new" / name).stat().st_mode)
                for name in os.listdir(tmp_path / "new")
            }
    finally:
        os.umask(before)
    assert modes == dict.fromkeys(modes, 0o600) and len(modes) == 3
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o700


def test_each_identity_has_its_file(tmp_path: Path) -> None:
    a, b = fill(tmp_path, some_vectors()), fill(tmp_path, {}, OTHER)
    assert a != b
    assert read(tmp_path, some_vectors(), Warnings(), OTHER) == {}


def test_the_key_is_what_the_model_sees() -> None:
    def key(symbol: str, text: str, line: int = 1) -> Key:
        return key_of(Chunk(line, line, symbol, text, 1))

    assert key("f", "x") == key("f", "x", 7)
    assert len({key("", "x"), key("f", "x"), key("f", "y")}) == 3


def test_size_0_is_no_cache(tmp_path: Path) -> None:
    path = fill(tmp_path, some_vectors(10))
    before = path.read_bytes()
    for folder in (tmp_path, tmp_path / "new"):
        warnings = Warnings()
        cache = EmbeddingCache(
            str(folder), Source(IDENTITY, DIMENSION), warnings, limit=0
        )
        with closing(cache):
            assert cache.get(some_vectors(10)) == {}
            cache.put(some_vectors(10, 1))
            cache.commit()
            assert cache.get(some_vectors(10, 1)) == {}
        assert warnings == []
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == [path.name]


# What was used


def days_of(path: Path) -> list[int]:
    with closing(sqlite3.connect(path)) as db:
        return [day for (day,) in db.execute("SELECT day FROM uses ORDER BY id")]


def test_a_hit_is_marked_once_a_day(tmp_path: Path, day: Callable[[int], None]) -> None:
    vectors = some_vectors(10)
    path = fill(tmp_path, vectors)
    assert days_of(path) == [100] * 10
    before = path.read_bytes()
    with closing(open_cache(tmp_path, Warnings())) as cache:
        cache.get(vectors)
        cache.commit()
    assert path.read_bytes() == before
    day(103)
    for commits in (True, False):
        some = list(vectors)[:3] if commits else list(vectors)[2:5]
        with closing(open_cache(tmp_path, Warnings())) as cache:
            assert len(cache.get(some)) == 3
            if commits:
                cache.commit()
                assert days_of(path) == [103] * 3 + [100] * 7
    assert days_of(path) == [103] * 5 + [100] * 5
    day(50)  # a clock that was set back
    assert len(read(tmp_path, vectors, Warnings())) == 10
    assert days_of(path) == [50] * 10


def limited(folder: Path, limit: int, identity: str = IDENTITY) -> EmbeddingCache:
    return EmbeddingCache(
        str(folder), Source(identity, DIMENSION), pytest.fail, limit=limit
    )


def test_what_was_used_last_stays(tmp_path: Path, day: Callable[[int], None]) -> None:
    """Over two files, and within a day in the order of coming."""
    generations = {
        (identity, seed): some_vectors(1000, seed)
        for seed in range(3)
        for identity in (IDENTITY, OTHER)
    }
    for (identity, seed), vectors in generations.items():
        day(100 + seed)
        fill(tmp_path, vectors, identity)
    day(110)
    with closing(open_cache(tmp_path, pytest.fail)) as cache:
        used = dict(list(generations[IDENTITY, 0].items())[::3])
        assert are_equal(cache.get(used), used)
    size = cache_bytes(str(tmp_path))
    limit = size // 2
    pruned = prune(str(tmp_path), limit)
    assert pruned.error == ""
    assert pruned.bytes_left == cache_bytes(str(tmp_path)) <= 0.9 * limit
    assert pruned.bytes_left > 0.85 * limit
    assert pruned.bytes == size - pruned.bytes_left

    found = {
        key: read(tmp_path, vectors, pytest.fail, key[0])
        for key, vectors in generations.items()
    }
    assert are_equal(found[IDENTITY, 0], used)
    assert found[OTHER, 0] == {}
    assert found[IDENTITY, 1] == {}  # the first of two files
    kept = found[OTHER, 1]  # what came last of it
    assert list(kept) == list(generations[OTHER, 1])[1000 - len(kept) :]
    for identity in (IDENTITY, OTHER):
        assert are_equal(found[identity, 2], generations[identity, 2])
    assert sum(map(len, found.values())) == 6000 - pruned.entries
    again = prune(str(tmp_path), limit)
    assert (again.entries, again.bytes) == (0, 0)


def test_scattered_entries_leave_no_room_behind(
    tmp_path: Path, day: Callable[[int], None]
) -> None:
    """Every second entry stays, and the file gets half as large."""
    dimension = 384
    keys = [hashlib.sha256(b"%d" % n).digest() for n in range(2000)]
    vectors = np.zeros((2000, dimension), np.float32)
    for number in (100, 101):
        day(number)
        cache = EmbeddingCache(str(tmp_path), Source(IDENTITY, dimension), pytest.fail)
        with closing(cache):
            if number == 100:
                cache.put(dict(zip(keys, vectors, strict=True)))
                cache.commit()
            else:
                assert len(cache.get(keys[::2])) == 1000
    size = cache_bytes(str(tmp_path))
    pruned = prune(str(tmp_path), int(size * 0.6))
    assert pruned.bytes_left < 0.54 * size
    assert 0.9 * 1000 < pruned.entries < 1000
    cache = EmbeddingCache(str(tmp_path), Source(IDENTITY, dimension), pytest.fail)
    with closing(cache):
        assert len(cache.get(keys[::2])) == 1000


def test_a_run_prunes_at_its_end_after_growth_only(
    tmp_path: Path, day: Callable[[int], None]
) -> None:
    path = fill(tmp_path, some_vectors(2000))
    size = path.stat().st_size
    day(101)
    with closing(limited(tmp_path, size // 2)) as cache:
        assert len(cache.get(some_vectors(500))) == 500
        cache.commit()
    assert path.stat().st_size >= size
    with closing(limited(tmp_path, size // 2)) as cache:
        cache.put(some_vectors(100, 1))
        cache.commit()
        assert len(cache.get(some_vectors(2000))) == 2000
    assert cache_bytes(str(tmp_path)) < 0.46 * size
    new = some_vectors(100, 1)
    assert are_equal(read(tmp_path, new, pytest.fail), new)
    assert len(read(tmp_path, some_vectors(2000), pytest.fail)) < 1000


def test_a_clock_that_went_ahead(tmp_path: Path, day: Callable[[int], None]) -> None:
    day(10**6)
    fill(tmp_path, some_vectors())
    day(100)
    path = fill(tmp_path, some_vectors(1000, 1))
    with closing(limited(tmp_path, path.stat().st_size - 1)) as cache:
        cache.put(some_vectors(1, 2))
        cache.commit()
    assert max(days_of(path)) == 100
    assert 0 < len(read(tmp_path, some_vectors(), pytest.fail)) < 1000
    assert len(read(tmp_path, some_vectors(1000, 1), pytest.fail)) == 1000


def test_a_limit_that_nothing_fits(tmp_path: Path) -> None:
    for seed in (0, 1):
        with closing(limited(tmp_path, 1)) as cache:
            cache.put(some_vectors(100, seed))
            cache.commit()
            assert len(cache.get(some_vectors(100, seed))) == 100
        assert os.listdir(tmp_path) == []


def test_empty_files_go_unless_in_use(tmp_path: Path) -> None:
    fill(tmp_path, some_vectors())
    used = fill(tmp_path, some_vectors(), OTHER)
    (tmp_path / "embeddings-noise.sqlite").write_bytes(b"noise" * 100)
    (tmp_path / "embeddings-blank.sqlite").write_bytes(b"")
    (tmp_path / "embeddings-folder.sqlite").mkdir()
    (tmp_path / "something.sqlite").write_bytes(b"noise")
    with closing(open_cache(tmp_path, pytest.fail, OTHER)) as cache:
        assert len(cache.get(some_vectors())) == 1000
        pruned = prune(str(tmp_path), 0)
        assert pruned.error == ""
        assert pruned.entries == 2000
        cache.put(some_vectors(10, 1))
        cache.commit()
    assert {name for name in os.listdir(tmp_path)} == {
        used.name,
        "embeddings-folder.sqlite",
        "something.sqlite",
    }
    assert len(read(tmp_path, some_vectors(10, 1), pytest.fail, OTHER)) == 10


def test_a_file_that_resists_is_passed_over(tmp_path: Path, impatient: None) -> None:
    locked = fill(tmp_path, some_vectors())
    other = fill(tmp_path, some_vectors(), OTHER)
    with holding(locked):
        pruned = prune(str(tmp_path), 1)
    assert pruned.entries == 1000
    assert "locked" in pruned.error and str(locked) in pruned.error
    assert locked.exists() and not other.exists()
    assert len(read(tmp_path, some_vectors(), pytest.fail)) == 1000


def test_pruning_finds_damage(tmp_path: Path) -> None:
    damaged = fill(tmp_path, some_vectors())
    noise_in_the_middle(damaged)
    fill(tmp_path, some_vectors(1000, 1), OTHER)
    assert prune(str(tmp_path), 1).error == ""
    assert os.listdir(tmp_path) == []


# Damage. A saving at most: `get` gives the right vector or none, and one warning tells.


def flip(path: Path, vector: NDArray[np.float32]) -> None:
    data = bytearray(path.read_bytes())
    data[data.index(vector.tobytes()[:32]) + 5] ^= 1
    path.write_bytes(data)


def test_a_bit_flip_loses_one_entry_until_the_next_put(tmp_path: Path) -> None:
    vectors = some_vectors()
    path = fill(tmp_path, vectors)
    key, vector = next(iter(vectors.items()))
    flip(path, vector)
    with closing(open_cache(tmp_path, pytest.fail)) as cache:
        rest = {other: vectors[other] for other in vectors if other != key}
        assert are_equal(cache.get(vectors), rest)
        cache.put({key: vector})
        cache.commit()
    assert are_equal(read(tmp_path, vectors, pytest.fail), vectors)
    assert len(days_of(path)) == 1000


def test_another_dimension_counts_as_absent(tmp_path: Path) -> None:
    fill(tmp_path, some_vectors())
    warnings = Warnings()
    cache = EmbeddingCache(str(tmp_path), Source(IDENTITY, DIMENSION + 1), warnings)
    with closing(cache):
        assert cache.get(some_vectors()) == {}
    assert len(warnings) == 1


def noise(path: Path) -> None:
    path.write_bytes(np.random.default_rng(1).bytes(50_000))


def noise_in_the_middle(path: Path) -> None:
    """Half of the pages, among them some of the index that every query goes through."""
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(size // 4 // 512 * 512)
        file.write(np.random.default_rng(1).bytes(size // 2 // 512 * 512))


def damage_most_pages(path: Path) -> None:
    """All but the header and the roots."""
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(12 * 512)
        file.write(np.random.default_rng(1).bytes(size - 12 * 512))


def truncate_to(share: float, less: int = 0) -> Callable[[Path], None]:
    def truncate(path: Path) -> None:
        os.truncate(path, int(path.stat().st_size * share) - less)

    return truncate


def another_schema(path: Path) -> None:
    path.unlink()
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("CREATE TABLE vectors (something TEXT)")


def another_identity(path: Path) -> None:
    """A sound file of another model, whose vectors must not be taken for ours."""
    wrong = {key: vector + 1 for key, vector in some_vectors().items()}
    shutil.copy(fill(path.parent, wrong, OTHER), path)


def a_table_less(path: Path) -> None:
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("DROP TABLE uses")


def values_of_other_types(path: Path) -> None:
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("UPDATE meta SET value = x'ff00' WHERE key = 'dimension'")


def text_that_is_none(path: Path) -> None:
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("UPDATE meta SET value = CAST(x'ff' AS TEXT) WHERE key = 'model'")


@pytest.mark.parametrize(
    "damage",
    [
        noise,
        noise_in_the_middle,
        damage_most_pages,
        truncate_to(0.5),
        truncate_to(0, -700),
        truncate_to(0, -50),
        truncate_to(0.2),
        truncate_to(0.9),
        truncate_to(1, 512),
        another_schema,
        another_identity,
        a_table_less,
        values_of_other_types,
        text_that_is_none,
    ],
)
def test_a_damaged_file_heals(tmp_path: Path, damage: Callable[[Path], None]) -> None:
    vectors, warnings = some_vectors(), Warnings()
    damage(fill(tmp_path, vectors))
    with closing(open_cache(tmp_path, warnings)) as cache:
        assert part_of(cache.get(vectors), vectors)
        for _ in range(2):
            cache.put(vectors)
            cache.commit()
        assert are_equal(cache.get(vectors), vectors)
    assert len(warnings) == 1
    assert are_equal(read(tmp_path, vectors, warnings), vectors)
    assert len(warnings) == 1


def test_a_blank_file_is_a_new_one(tmp_path: Path) -> None:
    """As another process has it that is about to make the tables."""
    truncate_to(0)(fill(tmp_path, some_vectors()))
    with closing(open_cache(tmp_path, pytest.fail)) as cache:
        assert cache.get(some_vectors()) == {}
        cache.put(some_vectors())
        cache.commit()
    assert len(read(tmp_path, some_vectors(), pytest.fail)) == 1000


@pytest.mark.parametrize("suffix", ["-wal", "-shm"])
def test_noise_in_the_log(tmp_path: Path, suffix: str) -> None:
    vectors = some_vectors()
    path, warnings = fill(tmp_path, vectors), Warnings()
    Path(f"{path}{suffix}").write_bytes(np.random.default_rng(1).bytes(70_000))
    assert are_equal(read(tmp_path, vectors, warnings), vectors)
    assert warnings == []


def test_one_byte_wrong_anywhere(tmp_path: Path) -> None:
    rng = random.Random(0)
    vectors = some_vectors(60)
    sound = fill(tmp_path / "sound", vectors).read_bytes()
    for position in {*range(100), *(rng.randrange(len(sound)) for _ in range(150))}:
        data = bytearray(sound)
        data[position] ^= 1 << rng.randrange(8)
        folder, warnings = tmp_path / f"{position}", Warnings()
        folder.mkdir()
        path_in(folder).write_bytes(data)
        with closing(open_cache(folder, warnings)) as cache:
            assert part_of(cache.get(vectors), vectors)
            cache.put(vectors)
            cache.commit()
            assert part_of(cache.get(vectors), vectors)
        assert len(warnings) <= 1
        # Byte 18 says whether this sqlite may write: it cannot know that this is damage.
        assert position == 18 or prune(str(folder), 10_000).error == ""
        shutil.rmtree(folder)


def test_days_of_entries_that_are_not_there(tmp_path: Path) -> None:
    """A list of days that is damaged: pruning went on for ever."""
    path = fill(tmp_path, some_vectors(60))
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("CREATE TABLE other (id INTEGER PRIMARY KEY, day INTEGER NOT NULL)")
        db.execute("CREATE INDEX other_by_day ON other (day)")
        db.execute("INSERT INTO other VALUES (999, 1)")
        db.execute("PRAGMA writable_schema = ON")
        db.execute(
            "UPDATE sqlite_master SET rootpage = (SELECT rootpage FROM sqlite_master"
            " WHERE name = 'other_by_day') WHERE name = 'uses_by_day'"
        )
    assert prune(str(tmp_path), 10_000).error == ""
    assert not path.exists()


def test_damage_while_two_have_it_open(tmp_path: Path) -> None:
    """Who meets it begins a fresh file; the other goes on, and joins at its next commit."""
    vectors = some_vectors()
    path = fill(tmp_path, vectors)
    first, second = Warnings(), Warnings()
    with (
        closing(open_cache(tmp_path, first)) as a,
        closing(open_cache(tmp_path, second)) as b,
    ):
        a.get(list(vectors)[:1])
        b.get(list(vectors)[:1])
        damage_most_pages(path)
        for seed in (1, 2):
            for number, cache in enumerate((a, b)):
                cache.get(vectors)
                cache.put(some_vectors(100, 10 * number + seed))
                cache.commit()
    assert len(first) == len(second) == 1
    # What a wrote after the rebuild, and all that b wrote.
    for seed in (1, 2, 11, 12):
        assert len(read(tmp_path, some_vectors(100, seed), pytest.fail)) == 100


# Circumstances


def a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def test_a_folder_in_its_place(tmp_path: Path) -> None:
    warnings = Warnings()
    a_folder(fill(tmp_path, some_vectors()))
    with closing(open_cache(tmp_path, warnings)) as cache:
        for _ in range(2):
            assert cache.get(some_vectors()) == {}
            cache.put(some_vectors())
            cache.commit()
    assert len(warnings) == 1


def remove_files(folder: Path) -> None:
    for name in os.listdir(folder):
        os.unlink(folder / name)


def replace_by_another(folder: Path) -> None:
    made = fill(folder.parent / "elsewhere", some_vectors(10, 7))
    os.replace(made, path_in(folder))


@pytest.mark.parametrize("remove", [remove_files, shutil.rmtree, replace_by_another])
def test_removed_during_a_run(tmp_path: Path, remove: Callable[[Path], None]) -> None:
    """What is written from then on is there afterwards; nobody sees the removed file."""
    folder, vectors, warnings = tmp_path / "cache", some_vectors(), Warnings()
    fill(folder, vectors)
    with closing(open_cache(folder, warnings)) as cache:
        assert len(cache.get(list(vectors)[:5])) == 5
        remove(folder)
        for seed in (1, 2):
            cache.get(vectors)
            cache.put(some_vectors(seed=seed))
            cache.commit()
    assert len(warnings) == 1 and "was removed" in warnings[0]
    for seed in (1, 2):
        assert len(read(folder, some_vectors(seed=seed), pytest.fail)) == 1000


def test_removed_again_and_again(tmp_path: Path) -> None:
    warnings = Warnings()
    with closing(open_cache(tmp_path / "cache", warnings)) as cache:
        for seed in range(5):
            cache.put(some_vectors(10, seed))
            cache.commit()
            shutil.rmtree(tmp_path / "cache", ignore_errors=True)
    assert len(warnings) == 1


@contextmanager
def as_nobody(folder: Path) -> Iterator[None]:
    """Root may write everything; nobody may not."""
    user = os.geteuid()
    if user == 0:
        for path in (folder, *folder.iterdir()):
            os.chown(path, NOBODY, NOBODY)
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(user)


@contextmanager
def read_only(what: str) -> Iterator[Path]:
    """A filled cache that this process, as itself or as nobody, can only read."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        path = fill(folder, some_vectors(10))
        changed, mode = (folder, 0o500) if what == "folder" else (path, 0o400)
        with as_nobody(folder):
            os.chmod(changed, mode)
            try:
                yield folder
            finally:
                os.chmod(changed, 0o700)


@pytest.mark.parametrize("what", ["folder", "file"])
def test_read_only(what: str) -> None:
    warnings = Warnings()
    with read_only(what) as folder:
        with closing(open_cache(folder, warnings)) as cache:
            for seed in (1, 2):
                found = cache.get(some_vectors(10))
                assert len(found) == (0 if what == "folder" else 10)
                cache.put(some_vectors(10, seed))
                cache.commit()
    assert len(warnings) == 1


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    warnings = Warnings()
    with closing(open_cache(tmp_path / "file" / "cache", warnings)) as cache:
        for _ in range(2):
            assert cache.get([b"key"]) == {}
            cache.put(some_vectors())
            cache.commit()
    assert len(warnings) == 1


@contextmanager
def holding(path: Path, lock: str = "BEGIN EXCLUSIVE") -> Iterator[None]:
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute(lock)
        yield


def count_calls(patch: pytest.MonkeyPatch, owner: object, name: str) -> list[object]:
    """Has one entry for each call of this function, from now on."""
    calls: list[object] = []
    real = getattr(owner, name)

    def counted(*arguments: Any) -> Any:
        calls.append(arguments)
        return real(*arguments)

    patch.setattr(owner, name, counted)
    return calls


def test_locked_by_a_writer(
    tmp_path: Path, impatient: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is there can be read; the wait is not repeated."""
    vectors, warnings = some_vectors(), Warnings()
    path = fill(tmp_path, vectors)
    waits = count_calls(monkeypatch, cache_file.VectorFile, "write")
    with holding(path), closing(open_cache(tmp_path, warnings)) as cache:
        for seed in range(1, 5):
            assert len(cache.get(vectors)) == 1000
            cache.put(some_vectors(seed=seed))
            cache.commit()
    assert len(waits) == 1
    assert len(warnings) == 1 and "nothing is added" in warnings[0]


def test_locked_from_the_start(
    tmp_path: Path, impatient: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    vectors, warnings = some_vectors(), Warnings()
    path = fill(tmp_path, vectors)
    module = sys.modules[EmbeddingCache.__module__]
    waits = count_calls(monkeypatch, module, "open_for_writing")
    with holding(path, "PRAGMA journal_mode = DELETE"), holding(path):
        with closing(open_cache(tmp_path, warnings)) as cache:
            for _ in range(4):
                assert cache.get(vectors) == {}
                cache.put(some_vectors(seed=1))
                cache.commit()
        assert len(waits) == 1
    assert len(warnings) == 1 and "without the embedding cache" in warnings[0]
    assert len(read(tmp_path, vectors, pytest.fail)) == 1000


@pytest.mark.parametrize("is_damaged", [False, True])
def test_the_folder_is_locked(
    tmp_path: Path, impatient: None, is_damaged: bool
) -> None:
    import fcntl

    path, warnings = fill(tmp_path, some_vectors()), Warnings()
    if is_damaged:
        noise(path)
    handle = os.open(tmp_path, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_SH if is_damaged else fcntl.LOCK_EX)
        assert read(tmp_path, some_vectors(), warnings) == {}
    finally:
        os.close(handle)
    assert len(warnings) == 1
    assert path.exists()


FULL_DISK = """
import resource, sys
from pathlib import Path
from typing import Any
sys.path.insert(0, sys.argv[1])
from test_cache import EmbeddingCache, Warnings, open_cache, some_vectors
warnings = Warnings()
cache = open_cache(Path(sys.argv[2]), warnings)
cache.put(some_vectors(10))
cache.commit()
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
for seed in range(1, 4):
    cache.put(some_vectors(3000, seed))
    cache.commit()
    assert cache.get(some_vectors(10, seed)) == {}
assert len(cache.get(some_vectors(10))) == 10
cache.close()
assert len(warnings) == 1, warnings
"""


def launch(script: str, *arguments: object) -> subprocess.Popen[bytes]:
    here = os.path.dirname(__file__)
    return subprocess.Popen(
        [sys.executable, "-c", script, here, *map(str, arguments)],
        env={**os.environ, "PYTHONWARNINGS": "error"},
    )


def test_a_full_disk(tmp_path: Path) -> None:
    assert launch(FULL_DISK, tmp_path).wait() == 0
    assert len(read(tmp_path, some_vectors(10), pytest.fail)) == 10


# Several processes

WRITER = """
import sys, time
from pathlib import Path
from typing import Any
sys.path.insert(0, sys.argv[1])
from test_cache import Warnings, open_cache, some_vectors
warnings = Warnings()
cache = open_cache(Path(sys.argv[2]), warnings)
vectors = list(some_vectors(1000, int(sys.argv[3])).items())
for start in range(0, 1000, 20):
    cache.put(dict(vectors[start : start + 20]))
    cache.commit()
while "to be killed" in sys.argv:
    time.sleep(1)
cache.close()
assert warnings == [], warnings
"""


@pytest.mark.parametrize("seeds", [(1, 2), (1, 1)], ids=["other texts", "same texts"])
def test_two_processes_write_at_once(tmp_path: Path, seeds: tuple[int, int]) -> None:
    writers = [launch(WRITER, tmp_path, seed) for seed in seeds]
    assert [writer.wait() for writer in writers] == [0, 0]
    for seed in seeds:
        vectors = some_vectors(1000, seed)
        assert are_equal(read(tmp_path, vectors, pytest.fail), vectors)
    assert len(days_of(path_in(tmp_path))) == 1000 * len(set(seeds))


MAKER = """
import sys, time
from pathlib import Path
from typing import Any
sys.path.insert(0, sys.argv[1])
from test_cache import Warnings, open_cache, some_vectors
warnings = Warnings()
print(flush=True)
began = float(sys.stdin.readline())
for number in range(20):
    cache = open_cache(Path(sys.argv[2], str(number)), warnings)
    cache.put(some_vectors(10, int(sys.argv[3])))
    while time.time() < began + number / 10:
        pass
    cache.commit()
    cache.close()
assert warnings == [], warnings
"""


def test_two_processes_make_the_file_at_once(tmp_path: Path) -> None:
    makers = [
        subprocess.Popen(
            [sys.executable, "-c", MAKER, os.path.dirname(__file__), tmp_path, seed],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        for seed in ("0", "1")
    ]
    for maker in makers:
        assert maker.stdout and maker.stdout.readline()
    start = b"%f\n" % (time.time() + 0.2)
    for maker in makers:
        maker.communicate(start)
    assert [maker.returncode for maker in makers] == [0, 0]
    for number in range(20):
        for seed in (0, 1):
            vectors = some_vectors(10, seed)
            found = read(tmp_path / str(number), vectors, pytest.fail)
            assert are_equal(found, vectors)


def test_a_writer_is_killed(tmp_path: Path) -> None:
    """What it had committed is there, and nobody has to wait."""
    for seed in range(1, 5):
        folder, vectors = tmp_path / f"{seed}", some_vectors(1000, seed)
        writer = launch(WRITER, folder, seed, "to be killed")
        log = Path(f"{path_in(folder)}-wal")
        while not log.exists() or log.stat().st_size < 20_000 * seed:
            assert writer.poll() is None
        writer.kill()
        writer.wait()
        found = read(folder, vectors, pytest.fail)
        assert found and part_of(found, vectors)
        fill(folder, vectors)
        assert are_equal(read(folder, vectors, pytest.fail), vectors)


PRUNER = """
import sys
sys.path.insert(0, sys.argv[1])
from indexer.cache.pruning import prune
while True:
    pruned = prune(sys.argv[2], 50_000)
    assert pruned.error == "", pruned
"""


def test_pruning_during_writing(tmp_path: Path) -> None:
    pruner = launch(PRUNER, tmp_path)
    try:
        writers = [launch(WRITER, tmp_path, seed) for seed in (1, 2)]
        assert [writer.wait() for writer in writers] == [0, 0]
        assert pruner.poll() is None
    finally:
        pruner.kill()
        pruner.wait()
    for seed in (1, 2):
        vectors = some_vectors(1000, seed)
        assert part_of(read(tmp_path, vectors, pytest.fail), vectors)
    assert prune(str(tmp_path), 50_000).error == ""
    assert cache_bytes(str(tmp_path)) <= 50_000


BREAKER = """
import sys, time
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from typing import Any
from test_cache import noise
while True:
    for path in Path(sys.argv[2]).glob("embeddings-*.sqlite"):
        noise(path)
    time.sleep(0.02)
"""
SUFFERER = WRITER.replace("assert warnings == [], ", "assert len(warnings) <= 1, ")


def test_two_processes_while_a_third_breaks_the_file(tmp_path: Path) -> None:
    """Neither crashes, nor do they ever take the one's file for the other's."""
    fill(tmp_path, {})
    breaker = launch(BREAKER, tmp_path)
    try:
        writers = [launch(SUFFERER, tmp_path, seed) for seed in (1, 2)]
        assert [writer.wait() for writer in writers] == [0, 0]
    finally:
        breaker.kill()
        breaker.wait()
    for seed in (1, 2):
        vectors = some_vectors(1000, seed)
        assert part_of(read(tmp_path, vectors, lambda message: None), vectors)


# What is there; export and import


def test_describe(tmp_path: Path, day: Callable[[int], None]) -> None:
    assert describe(str(tmp_path / "none")) == []
    day(20_000)
    source = Source(IDENTITY, DIMENSION, "m", "bf16")
    cache = EmbeddingCache(str(tmp_path), source, pytest.fail)
    with closing(cache):
        cache.put(some_vectors(7))
        cache.commit()
    (tmp_path / "embeddings-0.sqlite").write_bytes(b"noise" * 100)
    noisy, file = describe(str(tmp_path))
    assert (noisy.name, noisy.bytes) == ("embeddings-0.sqlite", 500)
    assert "not a database" in noisy.error
    assert (file.model, file.precision, file.dimension) == ("m", "bf16", DIMENSION)
    assert (file.entries, file.last_used, file.error) == (7, "2024-10-04", "")
    assert file.bytes == path_in(tmp_path).stat().st_size
    assert cache_bytes(str(tmp_path)) == 500 + file.bytes


def test_export_and_import(tmp_path: Path, day: Callable[[int], None]) -> None:
    day(90)
    fill(tmp_path / "a", some_vectors())
    day(95)
    fill(tmp_path / "a", some_vectors(100, 1), OTHER)
    fill(tmp_path / "b", some_vectors(300))
    export = str(tmp_path / "export")
    day(100)
    assert export_entries(str(tmp_path / "a"), export, pytest.fail) == 1100
    assert stat.S_IMODE(os.stat(export).st_mode) == 0o600
    assert sorted(os.listdir(tmp_path)) == ["a", "b", "export"]
    done = import_entries(str(tmp_path / "b"), export, pytest.fail)
    assert (done.entries, done.new, done.damaged) == (1100, 800, 0)
    assert days_of(path_in(tmp_path / "b")) == [95] * 300 + [90] * 700
    for identity, vectors in (
        (IDENTITY, some_vectors()),
        (OTHER, some_vectors(100, 1)),
    ):
        found = read(tmp_path / "b", vectors, pytest.fail, identity)
        assert are_equal(found, vectors)
    done = import_entries(str(tmp_path / "b"), export, pytest.fail)
    assert (done.entries, done.new, done.damaged) == (1100, 0, 0)
    # An export takes the place of one; and there may be nothing to export.
    assert export_entries(str(tmp_path / "none"), export, pytest.fail) == 0
    assert import_entries(str(tmp_path / "none"), export, pytest.fail).entries == 0


def test_export_leaves_out_what_is_damaged(tmp_path: Path) -> None:
    vectors, warnings = some_vectors(), Warnings()
    path = fill(tmp_path / "a", vectors)
    flip(path, vectors[next(iter(vectors))])
    noise_in_the_middle(fill(tmp_path / "a", some_vectors(1000, 1), OTHER))
    noise(tmp_path / "a" / "embeddings-0.sqlite")
    count = export_entries(str(tmp_path / "a"), str(tmp_path / "export"), warnings)
    assert 999 <= count < 1999
    assert len(warnings) == 2
    done = import_entries(str(tmp_path / "b"), str(tmp_path / "export"), pytest.fail)
    assert (done.entries, done.new, done.damaged) == (count, count, 0)
    del vectors[next(iter(vectors))]
    found = read(tmp_path / "b", some_vectors(), pytest.fail)
    assert are_equal(found, vectors)
    other = some_vectors(1000, 1)
    assert part_of(read(tmp_path / "b", other, pytest.fail, OTHER), other)


@pytest.mark.parametrize("kind", ["file", "empty", "cache", "folder", "dangling"])
def test_export_overwrites_nothing_else(tmp_path: Path, kind: str) -> None:
    target = tmp_path / "target"
    cache = fill(tmp_path / "a", some_vectors(10))
    if kind == "folder":
        target.mkdir()
    elif kind == "dangling":
        target.symlink_to("nowhere")
    else:
        contents = {"file": b"mine", "empty": b"", "cache": cache.read_bytes()}
        target.write_bytes(contents[kind])
    before = os.lstat(target)
    with pytest.raises(UsageError, match="not overwritten"):
        export_entries(str(tmp_path / "a"), str(target))
    after = os.lstat(target)  # reading it may have changed when it was read last
    assert (after[:7], after.st_mtime_ns) == (before[:7], before.st_mtime_ns)


def test_export_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(CacheError, match="cannot write .*: No such file"):
        export_entries(str(tmp_path), str(tmp_path / "nowhere" / "export"))


@pytest.mark.parametrize("kind", ["absent", "noise", "folder", "empty", "cache"])
def test_import_of_something_else(tmp_path: Path, kind: str) -> None:
    origin = tmp_path / "origin"
    if kind == "folder":
        origin.mkdir()
    elif kind == "cache":
        origin.write_bytes(fill(tmp_path / "a", some_vectors()).read_bytes())
    elif kind != "absent":
        origin.write_bytes(b"noise" * 100 if kind == "noise" else b"")
    with pytest.raises(CacheError, match="No such file|not an exported cache"):
        import_entries(str(tmp_path / "b"), str(origin))
    assert not (tmp_path / "b").exists()


def test_import_of_another_version(tmp_path: Path) -> None:
    fill(tmp_path / "a", some_vectors())
    export = tmp_path / "export"
    export_entries(str(tmp_path / "a"), str(export))
    with closing(sqlite3.connect(export)) as db:
        db.execute("PRAGMA user_version = 2")
    with pytest.raises(CacheError, match="another version"):
        import_entries(str(tmp_path / "b"), str(export))


@pytest.mark.parametrize(
    "damage",
    [truncate_to(0.5), truncate_to(0, -120), truncate_to(1, 4096), truncate_to(1, 1)],
)
def test_import_of_a_part(tmp_path: Path, damage: Callable[[Path], None]) -> None:
    fill(tmp_path / "a", some_vectors())
    export = tmp_path / "export"
    export_entries(str(tmp_path / "a"), str(export))
    damage(export)
    with pytest.raises(CacheError, match="damaged"):
        import_entries(str(tmp_path / "b"), str(export))
    assert not (tmp_path / "b").exists()


@pytest.mark.slow
def test_import_of_one_wrong_byte(tmp_path: Path) -> None:
    """Wherever it is: no vector is ever taken for another one."""
    rng = random.Random(1)
    wholes = {IDENTITY: some_vectors(20), OTHER: some_vectors(20, 1)}
    for identity, vectors in wholes.items():
        fill(tmp_path / "a", vectors, identity)
    export_entries(str(tmp_path / "a"), str(tmp_path / "sound"))
    sound = (tmp_path / "sound").read_bytes()
    refused = incomplete = 0
    for number in range(200):
        data = bytearray(sound)
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        (tmp_path / "export").write_bytes(data)
        folder = tmp_path / str(number)
        try:
            done = import_entries(str(folder), str(tmp_path / "export"), pytest.fail)
        except CacheError:
            refused += 1
            assert not folder.exists()
            continue
        incomplete += done.damaged > 0
        assert done.new + done.damaged == done.entries <= 40
        found = {
            identity: read(folder, vectors, pytest.fail, identity)
            for identity, vectors in wholes.items()
        }
        assert sum(map(len, found.values())) == done.new
        for identity, vectors in wholes.items():
            assert part_of(found[identity], vectors)
        names = {path.name for path in folder.glob("*.sqlite")}
        assert names <= {path_in(folder, identity).name for identity in wholes}
        shutil.rmtree(folder)
    assert refused and incomplete


@pytest.mark.parametrize("identity", ["../../../x" + 54 * "a", "", "é" * 64, "a" * 63])
def test_import_of_names_that_lead_elsewhere(tmp_path: Path, identity: str) -> None:
    fill(tmp_path / "a", some_vectors(10))
    export = tmp_path / "export"
    export_entries(str(tmp_path / "a"), str(export))
    source = Source(identity, DIMENSION)
    with closing(sqlite3.connect(export)) as db, db:
        db.execute("UPDATE sources SET identity = ?", (identity,))
        for key, vector in some_vectors(10).items():
            crc = checksum(source, key, vector.tobytes())
            db.execute("UPDATE vectors SET crc = ? WHERE key = ?", (crc, key))
    done = import_entries(str(tmp_path / "b"), str(export), pytest.fail)
    assert (done.new, done.damaged) == (0, 10)
    assert sorted(os.listdir(tmp_path)) == ["a", "export"]


def test_import_rebuilds_a_damaged_cache(tmp_path: Path) -> None:
    vectors, warnings = some_vectors(), Warnings()
    path = fill(tmp_path / "a", vectors)
    export_entries(str(tmp_path / "a"), str(tmp_path / "export"))
    noise(path)
    done = import_entries(str(tmp_path / "a"), str(tmp_path / "export"), warnings)
    assert (done.new, len(warnings)) == (1000, 1)
    assert are_equal(read(tmp_path / "a", vectors, pytest.fail), vectors)


def test_import_that_cannot_be_written(tmp_path: Path) -> None:
    path = fill(tmp_path / "a", some_vectors())
    export_entries(str(tmp_path / "a"), str(tmp_path / "export"))
    a_folder(path)
    with pytest.raises(CacheError, match="cannot write the embedding cache"):
        import_entries(str(tmp_path / "a"), str(tmp_path / "export"))
