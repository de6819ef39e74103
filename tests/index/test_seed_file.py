"""Exported indexes: what is in one, what is refused of one, and how one is fetched."""

from __future__ import annotations

import hashlib
import io
import json
import os
import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
from conftest import Project, assert_one_line
from seeds import SPARSE, assert_like_fresh, fill, ignored, serving

from indexer.errors import StateError
from indexer.index import seed_address, seed_file
from indexer.index.seed_address import AddressSeed
from indexer.index.seed_file import FileSeed

Members = list[tuple[tarfile.TarInfo, bytes]]


@pytest.fixture
def exported(project: Project, tmp_path: Path) -> Path:
    """The index of a project with three files, in a file."""
    fill(project, 3)
    project.run(*SPARSE)
    done = project.command("export", "../main.seed")
    assert done.returncode == 0, done.stderr
    assert "exported 3 chunks of 3 files" in done.stdout
    return tmp_path / "main.seed"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small export without a database, to take apart."""
    path = tmp_path_factory.mktemp("made") / "small.seed"
    with open(path, "wb") as file:
        with seed_file.TarWriter(file, is_gzipped=False) as tar:
            tar.add("codx-index-seed", b"1\n")
            tar.add("milvus.db/aliases.json", b"{}")
            about = {
                "place": "embedded x",
                "fingerprint": "f",
                "state": "complete",
                "mark": "m",
                "files": [["a.py", "0" * 40, 1, "", 0, 0, False]],
                "sha256": tar.digests,
            }
            tar.add("about.json", json.dumps(about).encode())
    return path


def clone(project: Project, folder: Path) -> Project:
    project.git("clone", "-q", str(project.root), str(folder))
    return Project(folder, project.cache_dir)


def test_a_clone_starts_from_an_export(
    exported: Path, project: Project, tmp_path: Path
) -> None:
    assert exported.stat().st_mode & 0o777 == 0o600
    other = clone(project, tmp_path / "clone")
    report = other.run(*SPARSE, "--seed", "../main.seed")
    assert report["seeded"] == {"from": str(exported), "files": 3}
    assert report["chunks"]["upserted"] == 0
    assert_like_fresh(other, *SPARSE)


def test_compressed(exported: Path, project: Project, tmp_path: Path) -> None:
    assert project.command("export", "../main.seed.gz").returncode == 0
    packed = tmp_path / "main.seed.gz"
    assert packed.stat().st_size < exported.stat().st_size / 2
    other = clone(project, tmp_path / "clone")
    assert other.run(*SPARSE, "--seed", str(packed))["seeded"]["files"] == 3
    # What is there is replaced if it is an export, and only then.
    assert project.command("export", "../main.seed.gz").returncode == 0
    error = assert_one_line(project.command("export", "src/m0.py"), 1)
    assert "no exported index" in error
    assert (project.root / "src" / "m0.py").read_text().startswith("def ")


def test_what_cannot_be_exported(project: Project) -> None:
    error = assert_one_line(project.command("export", "x.seed"), 1)
    assert "codx-index run makes it" in error
    done = project.command("export", "x.seed", "--uri", "http://127.0.0.1:1")
    assert "database can be exported" in assert_one_line(done, 2)
    assert not (project.root / "x.seed").exists()


# Who packs one can put anything into it


def members_of(path: Path) -> Members:
    with tarfile.open(path) as tar:
        return [(one, (tar.extractfile(one) or io.BytesIO()).read()) for one in tar]


def info(name: str, **attributes: Any) -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    for key, value in attributes.items():
        setattr(made, key, value)
    return made


def plain(name: str) -> Callable[[Members], None]:
    def add(members: Members) -> None:
        members.insert(1, (info(name, size=1), b"x"))

    return add


def odd(kind: bytes, target: str = "") -> Callable[[Members], None]:
    def add(members: Members) -> None:
        found = info("milvus.db/odd", type=kind, linkname=target)
        members.insert(1, (found, b""))

    return add


def twice(members: Members) -> None:
    members.insert(1, members[1])


def behind_the_end(members: Members) -> None:
    members.append((info("milvus.db/more", size=1), b"x"))


def other_bytes(members: Members) -> None:
    found, data = members[1]
    members[1] = (found, b"x" * len(data))


def left_out(members: Members) -> None:
    del members[1]


def no_end(members: Members) -> None:
    del members[-1]


def other_format(members: Members) -> None:
    members[0] = (info("codx-index-seed", size=3), b"99\n")


def other_first(members: Members) -> None:
    members.reverse()


def about(**changes: object) -> Callable[[Members], None]:
    def change(members: Members) -> None:
        data = json.dumps({**json.loads(members[-1][1]), **changes}).encode()
        members[-1] = (info("about.json", size=len(data)), data)

    return change


def long_header(members: Members) -> None:
    members.insert(1, (info("x" * 100_000, size=0), b""))


@pytest.mark.parametrize(
    "change, reason",
    [
        (plain("/etc/x"), "no export has"),
        (plain("../x"), "no export has"),
        (plain("milvus.db/../../x"), "no export has"),
        (plain("milvus.db/a/..x/../y"), "no export has"),
        (plain("milvus.db/indexes/x.idx"), "no export has"),
        (plain("manifest.sqlite"), "no export has"),
        (plain("milvus.db"), "no export has"),
        (odd(tarfile.SYMTYPE, "/etc/passwd"), "no plain file"),
        (odd(tarfile.LNKTYPE, "milvus.db/aliases.json"), "no plain file"),
        (odd(tarfile.FIFOTYPE), "no plain file"),
        (odd(tarfile.DIRTYPE), "no plain file"),
        (odd(tarfile.CHRTYPE), "no plain file"),
        (twice, "twice"),
        (behind_the_end, "behind its end"),
        (other_bytes, "damaged"),
        (left_out, "damaged"),
        (no_end, "damaged"),
        (other_format, "another version"),
        (other_first, "no exported index"),
        (long_header, "damaged"),
        (about(files=[["a.py"]]), "damaged"),
        (about(files=[["a.py", "0", -1, "", 0, 0, False]]), "damaged"),
        (about(files=[["a\0.py", "0", 1, "", 0, 0, False]]), "damaged"),
        (about(mark=None), "damaged"),
        (about(files=7), "damaged"),
    ],
)
def test_what_no_export_has_is_refused(
    change: Callable[[Members], None], reason: str, made: Path, tmp_path: Path
) -> None:
    members = members_of(made)
    change(members)
    path = tmp_path / "changed.seed"
    with tarfile.open(path, "w", format=tarfile.GNU_FORMAT) as tar:
        for one, data in members:
            tar.addfile(one, io.BytesIO(data))
    draft = tmp_path / "a" / "draft"
    draft.mkdir(parents=True)
    with pytest.raises(StateError, match=reason):
        FileSeed(str(path)).about(str(draft))
    assert {one.name for one in tmp_path.rglob("*")} <= {
        *("a", "draft", "changed.seed", "milvus.db", "aliases.json"),
    }


def test_an_export_as_it_is_made(made: Path, tmp_path: Path) -> None:
    found = FileSeed(str(made)).about(str(tmp_path))
    assert [*found.records] == ["a.py"] and found.records["a.py"].stat is None
    assert (tmp_path / "milvus.db" / "aliases.json").read_bytes() == b"{}"


@pytest.mark.parametrize("size", [0, 1, 600, 1600, 2100, 2600])
def test_an_export_that_is_cut_short(size: int, made: Path, tmp_path: Path) -> None:
    path = tmp_path / "cut.seed"
    path.write_bytes(made.read_bytes()[:size])
    with pytest.raises(StateError):
        FileSeed(str(path)).about(str(tmp_path))


def test_sizes_are_bounded(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(seed_file, "MOST_BYTES", 100)
    with pytest.raises(StateError, match="more than"):
        FileSeed(str(made)).about(str(tmp_path))


@pytest.mark.slow
def test_a_seed_that_is_refused_costs_no_run(
    exported: Path, project: Project, tmp_path: Path
) -> None:
    exported.write_bytes(exported.read_bytes()[:-9000])
    other = clone(project, tmp_path / "clone")
    report = other.run(*SPARSE, "--seed", str(exported))
    assert report["seeded"] is None
    assert ignored(report) == {"main.seed": "it is damaged"}
    assert_like_fresh(other, *SPARSE)


# Addresses


@contextmanager
def server(answers: dict[str, tuple[int, str, bytes]]) -> Iterator[str]:
    """A server on this machine: status, Location and body by path. Yields its address."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:  # noqa: N802  (its name in the library)
            status, location, body = answers.get(self.path, (404, "", b""))
            self.send_response(status)
            if location:
                self.send_header("Location", location)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *about: object) -> None:
            pass

    with serving(Handler) as address:
        yield address


def test_addresses(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = made.read_bytes()
    digest = hashlib.sha256(data).hexdigest()
    answers = {
        "/x": (200, "", data),
        "/there": (302, "/x", b""),
        "/loop": (307, "/loop", b""),
        "/away": (302, "http://example.org/x", b""),
        "/file": (302, "file:///etc/passwd", b""),
        "/ftp": (302, "ftp://example.org/x", b""),
        "/page": (200, "", b"<html>"),
    }

    def about(url: str) -> int:
        draft = tmp_path / os.urandom(8).hex()
        draft.mkdir()
        return len(AddressSeed(url).about(str(draft)).records)

    with server(answers) as base:
        assert about(f"{base}/x") == about(f"{base}/there") == 1
        assert about(f"{base}/x#sha256={digest.upper()}") == 1
        for url, reason in {
            f"{base}/x#sha256={'0' * 64}": f"another sha256: {digest}",
            f"{base}/absent": "answers 404",
            f"{base}/loop": "again and again",
            f"{base}/away": "not followed",
            f"{base}/file": "not followed",
            f"{base}/ftp": "not followed",
            f"{base}/page": "damaged",
        }.items():
            with pytest.raises(StateError, match=reason):
                about(url)
        monkeypatch.setattr(seed_address, "MOST_BYTES", len(data) - 1)
        with pytest.raises(StateError, match="more than"):
            about(f"{base}/x")
    with pytest.raises(StateError, match="cannot be fetched: Connection refused"):
        about(f"{base}/x")
    monkeypatch.undo()
    assert about(made.as_uri()) == 1
    assert AddressSeed("https://me:pw@host/x?token=t#sha256=0").origin == (
        "https://me:***@host/x?token=***"
    )


def test_nobody_is_led_to_this_machine() -> None:
    for target in ("http://127.0.0.1/x", "https://localhost/x", "http://host/x"):
        with pytest.raises(StateError, match="not followed"):
            seed_address.next_address("https://example.org/x", target)
    found = seed_address.next_address("https://example.org/x", "https://example.com/y")
    assert found == "https://example.com/y"


@pytest.mark.parametrize(
    "seed",
    [
        "http://example.org/x",
        "ftp://example.org/x",
        "file://host/x",
        "https:///x",
        "https://[x",
        "https://example.org/x#sha256=12",
        "https://example.org/x#md5=0",
    ],
)
def test_addresses_that_cannot_be(seed: str, project: Project) -> None:
    assert_one_line(project.command("run", "--seed", seed), 2)


def test_a_server_has_no_use_for_a_seed(project: Project) -> None:
    for uri in ("http://127.0.0.1:1", "../x.db"):
        done = project.command("run", "--uri", uri, "--seed", "../main")
        assert "leave out --seed" in assert_one_line(done, 2)


def test_a_file_of_the_project_needs_trust(project: Project) -> None:
    project.write("codx-index.toml", 'seed = "../other"\n')
    error = assert_one_line(project.command("run"), 2)
    assert "seed sends data elsewhere and reads or writes outside" in error
    done = project.command("config", "show")
    assert f"{project.root}/../other" in done.stdout
