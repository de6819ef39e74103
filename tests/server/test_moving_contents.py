"""Contents that move onto the paths of others on a real Milvus: each is found all the time."""

from __future__ import annotations

import os
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager

import pytest
from conftest import Project, wait_for
from milvus_real import RealMilvus, real_milvus
from moving import build, contents, move, source
from pymilvus import MilvusClient

from indexer.milvus.client import open_client

pytestmark = pytest.mark.server

LOOKS = int(os.environ.get("CODX_INDEX_READS", "300"))
COLLECTION = "moving"


@pytest.fixture(scope="module")
def milvus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealMilvus]:
    with real_milvus(tmp_path_factory.mktemp("milvus")) as server:
        yield server


class Looks(threading.Thread):
    """Asks again and again which contents are there as a whole, of some that always are."""

    def __init__(self, uri: str, wanted: set[str]) -> None:
        super().__init__()
        self.uri = uri
        self.wanted = wanted
        self.ended = threading.Event()
        self.count = 0
        self.absent: list[set[str]] = []
        self.failure = ""

    def run(self) -> None:
        try:
            with closing(open_client(self.uri, timeout=20)) as client:
                while not self.ended.is_set():
                    if lost := self.wanted - there(client):
                        self.absent.append(lost)
                    self.count += 1
        except Exception as error:
            self.failure = repr(error)


def there(client: MilvusClient) -> set[str]:
    """The blob ids of the contents that have all their rows, wherever they stand."""
    rows = client.query(
        COLLECTION,
        filter='id != ""',
        output_fields=["path", "file_hash", "chunk_no", "chunk_count"],
        limit=16_384,
        consistency_level="Strong",
    )
    numbers = defaultdict(set)
    for row in rows:
        version = row["path"], row["file_hash"], row["chunk_count"]
        numbers[version].add(row["chunk_no"])
    return {hash_ for (_, hash_, count), n in numbers.items() if len(n) == count}


@contextmanager
def looking(uri: str, wanted: set[str]) -> Iterator[Looks]:
    looks = Looks(uri, wanted)
    looks.start()
    try:
        yield looks
    finally:
        looks.ended.set()
        looks.join()


@pytest.mark.parametrize("name", ["swap", "cycle", "folders"])
def test_many_looks_while_contents_change_places(
    name: str,
    make_project: Callable[[str], Project],
    milvus: RealMilvus,
) -> None:
    host = make_project("here")
    host.environment |= {
        "CODX_INDEX_URI": milvus.uri,
        "CODX_INDEX_COLLECTION": COLLECTION,
        "CODX_INDEX_EXECUTOR": "serial",
    }

    def others(number: int) -> None:
        for other in range(25):
            text = source(f"o{other}v{number % 2}", 8)
            host.write(f"others/o{other}.py", text)

    build(host, name)
    others(0)
    host.run()
    before = contents(host)
    move(host, name)
    kept = contents(host).keys() & before.keys()
    kept = {hash_ for hash_ in kept if not before[hash_].startswith("o")}
    assert kept
    with looking(milvus.uri, kept) as looks:
        wait_for(lambda: looks.count or looks.failure)
        rounds = 0
        while looks.count < LOOKS and not looks.failure:
            rounds += 1
            if rounds > 1:
                move(host, name)
            others(rounds)
            host.run()
    print(f"{name}: {rounds} runs, {looks.count} looks, {len(looks.absent)} absent")
    assert (looks.absent, looks.failure) == ([], "")
    host.command("clear", "-y")
