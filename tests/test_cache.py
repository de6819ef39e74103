"""The cache never raises, whatever was done to its file."""

from __future__ import annotations

import hashlib
import os
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from indexer.cache import EmbeddingCache, Key, key_of
from indexer.types import Chunk

DIMENSION = 16
IDENTITY = "0123456789abcdef" * 4
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


class Warnings(list[str]):
    def __call__(self, message: str) -> None:
        self.append(message)


def open_cache(
    folder: Path, warn: Callable[[str], None], identity: str = IDENTITY
) -> EmbeddingCache:
    return EmbeddingCache(str(folder), identity, DIMENSION, warn)


def fill(folder: Path, vectors: Vectors, identity: str = IDENTITY) -> Path:
    warnings = Warnings()
    with closing(open_cache(folder, warnings, identity)) as cache:
        cache.put(vectors)
        cache.commit()
    assert warnings == []
    return folder / f"embeddings-{identity[:16]}.sqlite"


def read(folder: Path, vectors: Vectors, warn: Callable[[str], None]) -> Vectors:
    with closing(open_cache(folder, warn)) as cache:
        return cache.get(vectors)


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
        assert folder.stat().st_mode & 0o077 == 0


def test_each_identity_has_its_file(tmp_path: Path) -> None:
    a, b = fill(tmp_path, some_vectors()), fill(tmp_path, {}, "f" * 64)
    assert a != b
    with closing(open_cache(tmp_path, Warnings(), "f" * 64)) as cache:
        assert cache.get(some_vectors()) == {}


def test_the_key_is_what_the_model_sees() -> None:
    def key(symbol: str, text: str, line: int = 1) -> Key:
        return key_of(Chunk(line, line, symbol, text, 1))

    assert key("f", "x") == key("f", "x", 7)
    assert len({key("", "x"), key("f", "x"), key("f", "y")}) == 3


# Damage. A saving at most: `get` gives the right vector or none, and one warning tells.


def test_a_bit_flip_loses_one_entry(tmp_path: Path) -> None:
    vectors = some_vectors()
    path = fill(tmp_path, vectors)
    key, vector = next(iter(vectors.items()))
    data = bytearray(path.read_bytes())
    data[data.index(vector.tobytes()) + 5] ^= 1
    path.write_bytes(data)
    warnings = Warnings()
    del vectors[key]
    assert are_equal(read(tmp_path, some_vectors(), warnings), vectors)
    assert warnings == []


def test_another_dimension_counts_as_absent(tmp_path: Path) -> None:
    fill(tmp_path, some_vectors())
    cache = EmbeddingCache(str(tmp_path), IDENTITY, DIMENSION + 1, Warnings())
    with closing(cache):
        assert cache.get(some_vectors()) == {}


def noise(path: Path) -> None:
    path.write_bytes(np.random.default_rng(1).bytes(50_000))


def truncate(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def damage_most_pages(path: Path) -> None:
    """All but the header and the root."""
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(3 * 4096)
        file.write(np.random.default_rng(1).bytes(size - 3 * 4096))


def another_schema(path: Path) -> None:
    path.unlink()
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("CREATE TABLE vectors (something TEXT)")


@pytest.mark.parametrize("damage", [noise, truncate, damage_most_pages])
def test_a_damaged_file_heals(tmp_path: Path, damage: Callable[[Path], None]) -> None:
    vectors, warnings = some_vectors(), Warnings()
    damage(fill(tmp_path, vectors))
    with closing(open_cache(tmp_path, warnings)) as cache:
        found = cache.get(vectors)
        assert are_equal(found, {key: vectors[key] for key in found})
        for _ in range(2):
            cache.put(vectors)
            cache.commit()
    assert len(warnings) == 1
    fill(tmp_path, vectors)
    assert are_equal(read(tmp_path, vectors, warnings), vectors)
    assert len(warnings) == 1


def a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize("damage", [another_schema, a_folder])
def test_a_file_of_something_else(
    tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    warnings = Warnings()
    damage(fill(tmp_path, some_vectors()))
    with closing(open_cache(tmp_path, warnings)) as cache:
        for _ in range(2):
            assert cache.get(some_vectors()) == {}
            cache.put(some_vectors())
            cache.commit()
    assert len(warnings) == 1


def test_the_file_is_deleted_meanwhile(tmp_path: Path) -> None:
    vectors, warnings = some_vectors(), Warnings()
    path = fill(tmp_path, vectors)
    with closing(open_cache(tmp_path, warnings)) as cache:
        assert len(cache.get(list(vectors)[:5])) == 5
        for name in os.listdir(tmp_path):
            os.unlink(tmp_path / name)
        for seed in (1, 2):
            cache.get(vectors)
            cache.put(some_vectors(seed=seed))
            cache.commit()
    assert len(warnings) <= 1
    fill(tmp_path, vectors)
    assert path.exists()


@contextmanager
def read_only_folder() -> Iterator[Path]:
    """A folder that this process, as itself or as nobody, can only read."""
    with tempfile.TemporaryDirectory() as folder:
        fill(Path(folder), some_vectors(10))
        os.chmod(folder, 0o555)
        user = os.geteuid()
        if user == 0:
            os.seteuid(NOBODY)
        try:
            yield Path(folder)
        finally:
            os.seteuid(user)
            os.chmod(folder, 0o755)


def test_a_folder_that_is_read_only() -> None:
    warnings = Warnings()
    with read_only_folder() as folder:
        with closing(open_cache(folder, warnings)) as cache:
            for seed in (1, 2):
                cache.get(some_vectors(10))
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


FULL_DISK = """
import resource, sys
from pathlib import Path
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
cache.close()
assert len(warnings) == 1, warnings
"""


def test_a_full_disk(tmp_path: Path) -> None:
    here = os.path.dirname(__file__)
    subprocess.run([sys.executable, "-c", FULL_DISK, here, str(tmp_path)], check=True)
    warnings = Warnings()
    assert len(read(tmp_path, some_vectors(10), warnings)) == 10
    assert warnings == []


WRITER = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from test_cache import Warnings, open_cache, some_vectors
warnings = Warnings()
cache = open_cache(Path(sys.argv[2]), warnings)
vectors = list(some_vectors(1000, int(sys.argv[3])).items())
for start in range(0, 1000, 20):
    cache.put(dict(vectors[start : start + 20]))
    cache.commit()
cache.close()
assert warnings == []
"""


def test_two_processes_write_at_once(tmp_path: Path) -> None:
    here = os.path.dirname(__file__)
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITER, here, str(tmp_path), seed])
        for seed in ("1", "2")
    ]
    assert [writer.wait() for writer in writers] == [0, 0]
    for seed in (1, 2):
        vectors = some_vectors(1000, seed)
        assert are_equal(read(tmp_path, vectors, Warnings()), vectors)
