"""The embedding cache under the real command: whatever happens to it, the run succeeds."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import click
import pytest
from conftest import (
    COMMAND,
    TIMEOUT,
    Project,
    assert_one_line,
    make_cache,
    only_slow,
    python_text,
    start,
    wait_for,
)

from indexer.cli.cache import cache_group

CHECKOUT = Path(__file__).parents[2]
SERIAL = ("--executor", "serial")  # starts faster than a pool
# Root may read and write everything; without these capabilities it may not.
UNPRIVILEGED = ["setpriv", "--bounding-set", "-dac_override,-dac_read_search"]


def texts(project: Project, *numbers: int, functions: int = 6) -> Project:
    for number in numbers:
        project.write(f"{number}.py", python_text(number, functions))
    return project


def file_in(folder: Path) -> Path:
    (path,) = folder.glob("embeddings-*.sqlite")
    return path


def repository(root: Path, cache: Path) -> Project:
    root.mkdir(parents=True)
    made = Project(root, cache)
    made.git("init", "-q", "-b", "main")
    return made


@pytest.fixture(scope="module")
def indexed(tmp_path_factory: pytest.TempPathFactory, model_cache: Path) -> Project:
    """An indexed project with its cache, to be copied."""
    base = tmp_path_factory.mktemp("indexed")
    project = repository(base / "project", make_cache(base / "cache", model_cache))
    texts(project, *range(10), functions=3)
    assert project.run()["chunks"]["embedded"] >= 20
    return project


@pytest.fixture
def copied(indexed: Project, tmp_path: Path) -> Project:
    """A copy of the indexed project with a cache of its own."""
    shutil.copytree(indexed.root, tmp_path / "project", symlinks=True)
    shutil.copytree(indexed.cache_dir, tmp_path / "cache", symlinks=True)
    return Project(tmp_path / "project", tmp_path / "cache")


def assert_succeeds(
    project: Project, warnings: int = 1, prefix: tuple[str, ...] = ()
) -> dict[str, Any]:
    """A run over every file ends well and says at most so much on stderr."""
    command = ("run", "--force", "--json")
    if prefix:
        done = project.launch(*prefix, COMMAND, *command)
    else:
        done = project.command(*command)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("\n") == warnings, done.stderr
    assert all(line.startswith("codx-index: ") for line in done.stderr.splitlines())
    report: dict[str, Any] = json.loads(done.stdout)
    counts = report["chunks"]
    assert report["status"] == "updated"
    assert counts["embedded"] + counts["cached"] == counts["total"] >= 20
    return report


def assert_heals(project: Project, warnings: int = 1) -> None:
    """One run says so, and the next one finds every text in the cache.

    But for those that the first one had still read from it before it met the damage.
    """
    first = assert_succeeds(project, warnings)["chunks"]
    assert first["embedded"] > 0
    assert assert_succeeds(project, 0)["chunks"]["embedded"] <= first["cached"]
    assert assert_succeeds(project, 0)["chunks"]["embedded"] == 0


# Damage


def noise(path: Path) -> None:
    path.write_bytes(os.urandom(path.stat().st_size))


def noise_in_the_middle(path: Path) -> None:
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(size // 2)
        file.write(os.urandom(16 * 1024))


def another_fingerprint(path: Path) -> None:
    """A sound cache of another model, with wrong vectors for our texts."""
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("UPDATE meta SET value = ? WHERE key = 'identity'", ("e" * 64,))


@pytest.mark.parametrize(
    "damage", [another_fingerprint, *only_slow(noise, noise_in_the_middle)]
)
def test_a_damaged_file(copied: Project, damage: Callable[[Path], None]) -> None:
    before = copied.rows()
    damage(file_in(copied.cache_dir))
    assert_heals(copied)
    assert copied.rows() == before


@pytest.mark.parametrize("share", [0.3, *only_slow(0.003, 0.99)])
def test_a_file_cut_short(copied: Project, share: float) -> None:
    path = file_in(copied.cache_dir)
    os.truncate(path, int(path.stat().st_size * share))
    assert_heals(copied)


def test_a_file_of_no_bytes(copied: Project) -> None:
    """That is how a new one begins."""
    os.truncate(file_in(copied.cache_dir), 0)
    assert_heals(copied, 0)


# Circumstances


@pytest.fixture
def mounted(copied: Project, tmp_path: Path) -> Iterator[Callable[[str], None]]:
    """Mounts a file system with these options on the cache folder, whatever is in it."""
    folder = copied.cache_dir
    mounts = 0

    def mount(options: str) -> None:
        nonlocal mounts
        command = ["mount", "-t", "tmpfs", "-o", options, "none", str(folder)]
        if shutil.which("mount") is None or subprocess.run(command).returncode:
            pytest.skip("may not mount")
        mounts += 1

    yield mount
    for _ in range(mounts):
        subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount")
def test_a_full_disk(
    copied: Project, mounted: Callable[[str], None], model_cache: Path
) -> None:
    mounted("size=64k")
    (copied.cache_dir / "models").symlink_to(model_cache / "models")
    for _ in range(2):
        assert_succeeds(copied)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount")
def test_a_read_only_file_system(
    copied: Project, mounted: Callable[[str], None], model_cache: Path
) -> None:
    saved = file_in(copied.cache_dir).read_bytes()
    name = file_in(copied.cache_dir).name
    mounted("size=16m")
    (copied.cache_dir / "models").symlink_to(model_cache / "models")
    (copied.cache_dir / name).write_bytes(saved)
    remount = ["mount", "-o", "remount,ro", str(copied.cache_dir)]
    subprocess.run(remount, check=True)
    assert_succeeds(copied)
    assert file_in(copied.cache_dir).read_bytes() == saved


@pytest.mark.parametrize("what", ["file", *only_slow("folder")])
def test_read_only_by_its_mode(copied: Project, what: str) -> None:
    prefix = UNPRIVILEGED if os.geteuid() == 0 else []
    if prefix and not shutil.which(prefix[0]):
        pytest.skip("root without setpriv")
    texts(copied, 100)
    folder = copied.cache_dir
    changed, mode = (folder, 0o500) if what == "folder" else (file_in(folder), 0o400)
    changed.chmod(mode)
    try:
        report = assert_succeeds(copied, prefix=tuple(prefix))
    finally:
        changed.chmod(0o700)
    if what == "file":  # can still be read
        assert report["chunks"]["cached"] > report["chunks"]["embedded"]


def test_a_folder_in_its_place(copied: Project) -> None:
    path = file_in(copied.cache_dir)
    path.unlink()
    path.mkdir()
    for _ in range(2):
        assert_succeeds(copied)


@pytest.mark.slow
def test_locked_for_long(copied: Project) -> None:
    texts(copied, 100)
    path = file_in(copied.cache_dir)
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("BEGIN EXCLUSIVE")
        report = assert_succeeds(copied)
        assert report["chunks"]["cached"] > report["chunks"]["embedded"]
    assert_heals(copied, 0)


@pytest.mark.parametrize("what", ["file", "folder"])
@pytest.mark.slow  # test_cache.py removes the file under an open cache
def test_removed_during_a_run(project: Project, what: str) -> None:
    """After the first commit; what comes later is in a fresh file."""
    texts(project, *range(150))
    running = start(project, "run", "--json", *SERIAL)
    name = "embeddings-*.sqlite-wal"
    wait_for(
        lambda: any(p.stat().st_size > 20_000 for p in project.cache_dir.glob(name))
    )
    if what == "file":
        for path in project.cache_dir.glob("embeddings-*"):
            path.unlink()
    else:
        shutil.rmtree(project.cache_dir)
    output, errors = running.communicate(timeout=TIMEOUT)
    assert running.returncode == 0, errors
    assert errors.count("\n") == 1 and "was removed during the run" in errors
    embedded = json.loads(output)["chunks"]["embedded"]
    (file,) = info(project)["files"]
    assert 0 < file["entries"] < embedded


# Several commands at a time


def fresh(project: Project) -> dict[str, Any]:
    """The counts of a run that finds nothing of an index."""
    shutil.rmtree(project.root / ".codx")
    counts: dict[str, Any] = project.run()["chunks"]
    return counts


def together(*projects: Project) -> None:
    running = [start(project, "run", "--json", *SERIAL) for project in projects]
    for process in running:
        _, errors = process.communicate(timeout=TIMEOUT)
        assert (process.returncode, errors) == (0, "")


@pytest.mark.slow  # as two worktrees do
def test_two_projects_at_once(project: Project, tmp_path: Path) -> None:
    other = repository(tmp_path / "other", project.cache_dir)
    texts(project, *range(0, 15))
    texts(other, *range(10, 25))
    together(project, other)
    for each in (project, other):
        assert fresh(each)["embedded"] == 0
    assert len(info(project)["files"]) == 1


@pytest.mark.slow  # tests/cache has two processes on one file
def test_two_worktrees_at_once(project: Project, tmp_path: Path) -> None:
    texts(project, *range(12))
    project.git("add", ".")
    project.git("commit", "-q", "-m", "one")
    project.git("worktree", "add", "-q", "-b", "branch", str(tmp_path / "tree"))
    tree = texts(Project(tmp_path / "tree", project.cache_dir), *range(20, 25))
    together(project, tree)
    for each in (project, tree):
        counts = fresh(each)
        assert (counts["embedded"], counts["cached"]) == (0, counts["total"])


PRUNER = """
import sys
from indexer.cache.pruning import prune
while True:
    pruned = prune(sys.argv[1], 40_000)
    assert pruned.error == "", pruned
"""


@pytest.mark.slow
def test_pruning_during_a_run(project: Project) -> None:
    texts(project, *range(25))
    folder = str(project.cache_dir)
    pruner = subprocess.Popen([sys.executable, "-c", PRUNER, folder], cwd=CHECKOUT)
    try:
        together(project)
        assert pruner.poll() is None
    finally:
        pruner.kill()
        pruner.wait()
    assert project.command("verify", *SERIAL).returncode == 0
    assert fresh(project)["embedded"] > 0


# The bound


def info(project: Project, *options: str) -> dict[str, Any]:
    return project.report("cache", "info", *options)


def test_a_run_keeps_the_cache_within_its_size(copied: Project) -> None:
    size = info(copied)["bytes"]
    texts(copied, 100)
    copied.environment["CODX_INDEX_CACHE_SIZE"] = str(size // 2)
    copied.run()
    found = info(copied)
    assert found["limit"] == size // 2
    assert 0.4 * size < found["bytes"] <= 0.45 * size + 4096
    entries = found["files"][0]["entries"]
    copied.run("--force", "--cache-size", "0")
    assert info(copied)["files"][0]["entries"] == entries
    new = copied.root / "100.py"
    new.rename(copied.root / "101.py")
    assert copied.run()["chunks"]["embedded"] == 0  # what came last stayed


def test_size_0_is_no_cache(project: Project) -> None:
    texts(project, 1)
    for _ in range(2):
        report = project.run("--force", "--cache-size", "0")
        assert report["chunks"]["embedded"] == report["chunks"]["total"]
    assert list(project.cache_dir.glob("embeddings-*")) == []


# Commands

COMMANDS: Mapping[str, click.Command] = cache_group.commands


@pytest.mark.parametrize("name", COMMANDS)
def test_help(name: str, project: Project) -> None:
    done = project.command("cache", name, "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert f"Usage: codx-index cache {name}" in done.stdout
    for parameter in COMMANDS[name].params:
        if isinstance(parameter, click.Option):
            assert parameter.help
            assert all(option in done.stdout for option in parameter.opts)


def test_info(copied: Project) -> None:
    found = info(copied)
    path = file_in(copied.cache_dir)
    (file,) = found["files"]
    assert found["folder"] == str(copied.cache_dir)
    assert found["limit"] == 2 * 1024**3
    assert found["bytes"] == file["bytes"] == path.stat().st_size
    assert (file["name"], file["error"]) == (path.name, "")
    assert (file["model"], file["dimension"]) == ("all-MiniLM-L6-v2", 384)
    assert file["precision"] in ("f32", "bf16")
    assert file["entries"] >= 20

    noise(path)
    done = copied.command("cache", "info", "--cache-size", "1.5MiB")
    assert (done.returncode, done.stderr) == (0, "")
    assert f"folder  {copied.cache_dir}\n" in done.stdout
    assert " of 1.5 MiB\n" in done.stdout
    assert f"{path.name}: " in done.stdout and "unreadable" in done.stdout


def test_info_makes_nothing(project: Project, tmp_path: Path) -> None:
    folder = tmp_path / "nowhere"
    found = info(project, "--cache-dir", str(folder))
    assert (found["bytes"], found["files"]) == (0, [])
    assert not folder.exists()


def test_prune(copied: Project) -> None:
    entries, size = info(copied)["files"][0]["entries"], info(copied)["bytes"]
    done = copied.command("cache", "prune")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("removed 0 entries, 0 bytes; now ")
    done = copied.command("cache", "prune", "--cache-size", str(size // 2))
    assert (done.returncode, done.stderr) == (0, "")
    left = info(copied)["files"][0]["entries"]
    assert 0 < left < entries / 2
    assert done.stdout.startswith(f"removed {entries - left} entries, ")
    done = copied.command("cache", "prune", "--cache-size", "0")
    assert (done.returncode, done.stderr) == (0, "")
    assert list(copied.cache_dir.glob("embeddings-*")) == []
    assert (copied.cache_dir / "models").exists()


@pytest.mark.slow
def test_prune_of_a_locked_cache(copied: Project) -> None:
    path = file_in(copied.cache_dir)
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("BEGIN EXCLUSIVE")
        done = copied.command("cache", "prune", "--cache-size", "1k")
    assert done.returncode == 1
    assert done.stderr.startswith("codx-index: could not prune all of it: ")
    assert done.stderr.count("\n") == 1


def test_a_colleague_embeds_nothing(
    copied: Project, tmp_path: Path, model_cache: Path
) -> None:
    export = tmp_path / "cache.export"
    done = copied.command("cache", "export", str(export))
    entries = info(copied)["files"][0]["entries"]
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"exported {entries} entries\n"
    assert export.stat().st_mode & 0o777 == 0o600

    shutil.rmtree(copied.root / ".codx")
    other = Project(copied.root, make_cache(tmp_path / "theirs", model_cache))
    for new in (entries, 0):
        done = other.command("cache", "import", str(export))
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout == f"imported {new} new of {entries} entries\n"
    assert other.run()["chunks"]["embedded"] == 0
    assert other.command("cache", "export", str(export)).returncode == 0


def test_import_counts_what_is_damaged(copied: Project, tmp_path: Path) -> None:
    export = tmp_path / "cache.export"
    copied.command("cache", "export", str(export))
    with closing(sqlite3.connect(export)) as db, db:
        db.execute("UPDATE vectors SET crc = crc + 1 WHERE rowid <= 3")
    entries = info(copied)["files"][0]["entries"]
    copied.command("cache", "prune", "--cache-size", "0")
    done = copied.command("cache", "import", str(export))
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == (
        f"imported {entries - 3} new of {entries} entries; 3 damaged and left out\n"
    )


def test_what_goes_wrong(project: Project, tmp_path: Path) -> None:
    mine = project.write("mine", "precious\n")
    cut = tmp_path / "cut"
    project.command("cache", "export", str(cut))
    os.truncate(cut, cut.stat().st_size - 1000)
    for arguments, code, words in (
        (["export", "mine"], 2, "not overwritten"),
        (["export", "nowhere/x"], 1, "cannot write"),
        (["import", "nowhere"], 1, "No such file"),
        (["import", "mine"], 1, "not an exported cache"),
        (["import", str(cut)], 1, "damaged"),
        (["prune", "--cache-size", "many"], 2, "many"),
        (["prune", "--cache-size", "-1"], 2, "-1"),
        (["bogus"], 2, "bogus"),
    ):
        line = assert_one_line(project.command("cache", *arguments), code)
        assert words in line, line
    assert mine.read_text() == "precious\n"


@pytest.mark.parametrize("arguments", [["info"], ["prune"], ["export", "x"]])
def test_little_is_imported(arguments: list[str], copied: Project) -> None:
    script = (
        "import sys\nfrom indexer.cli.main import main\ntry:\n    main()\n"
        "finally:\n    print(*sys.modules, file=sys.stderr)\n"
    )
    done = copied.launch(sys.executable, "-c", script, "cache", *arguments)
    assert done.returncode == 0
    heavy = {"torch", "openvino", "pymilvus", "numpy", "sentence_transformers"}
    assert not heavy & set(done.stderr.split())
