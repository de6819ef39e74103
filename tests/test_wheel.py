"""What is installed: the package and nothing else."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from configparser import ConfigParser
from email.parser import Parser
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[zipfile.ZipFile]:
    """Built from a copy of what git tracks, or would track."""
    folder = tmp_path_factory.mktemp("wheel")
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    for name in filter(None, listed.stdout.decode().split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, folder / name)
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "-o", "out", "."],
        cwd=folder,
        capture_output=True,
        check=True,
    )
    (path,) = (folder / "out").glob("*.whl")
    with zipfile.ZipFile(path) as opened:
        yield opened


def info(wheel: zipfile.ZipFile, name: str) -> str:
    (path,) = (n for n in wheel.namelist() if n.endswith(f".dist-info/{name}"))
    return wheel.read(path).decode()


def test_it_holds_the_package_alone(wheel: zipfile.ZipFile) -> None:
    names = wheel.namelist()
    tops = {name.split("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"indexer"}
    assert len(tops) == 2
    sources = {
        path.relative_to(ROOT).as_posix() for path in ROOT.glob("indexer/**/*.py")
    }
    installed = {name for name in names if name.startswith("indexer/")}
    names_of_data = (
        "clients/SKILL.md",
        "vectors/calibration.txt",
        "vectors/original.npy",
        "text/idf.tsv",
        "py.typed",
        "schema.json",
    )
    data = {f"indexer/{name}" for name in names_of_data}
    assert installed == sources | data


def test_the_command(wheel: zipfile.ZipFile) -> None:
    points = ConfigParser()
    points.read_string(info(wheel, "entry_points.txt"))
    assert points.sections() == ["console_scripts"]
    assert dict(points["console_scripts"]) == {"codx-index": "indexer.cli.main:main"}


def test_metadata(wheel: zipfile.ZipFile) -> None:
    about = Parser().parsestr(info(wheel, "METADATA"))
    assert about["Name"] == "codx-index"
    assert "MIT" in (about["License"], about["License-Expression"])
    assert info(wheel, "licenses/LICENSE").strip()
