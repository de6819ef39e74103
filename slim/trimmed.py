"""Makes a wheel without the parts of a library that this program never loads.

It is a build backend (PEP 517) for the folders beside it, whose `pyproject.toml` names the
library and what is left out; constraints.txt has the version. pip gets the wheel from wherever
it is set up to.
"""

from __future__ import annotations

import csv
import io
import os
import subprocess
import sys
import tempfile
import tomllib
import zipfile
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

CONSTRAINTS = "../../constraints.txt"  # as seen from the library's folder


def get_requires_for_build_wheel(config_settings: Any = None) -> list[str]:
    """What pip installs for the build: itself, because it is not there otherwise."""
    return ["pip"]


def build_wheel(
    wheel_directory: str, config_settings: Any = None, metadata_directory: Any = None
) -> str:
    """Write the wheel into a folder, and return its name."""
    about = tomllib.loads(Path("pyproject.toml").read_text())["tool"]["trimmed"]
    with tempfile.TemporaryDirectory() as folder:
        whole = download(pin(about["library"]), folder)
        trim(whole, Path(wheel_directory, whole.name), about["leaves-out"])
        return whole.name


def pin(library: str) -> str:
    """The library with its version, as constraints.txt has it."""
    pins = Path(CONSTRAINTS).read_text().splitlines()
    (found,) = (line for line in pins if line.startswith(f"{library}=="))
    return found


def download(requirement: str, folder: str) -> Path:
    """The wheel of a library as it is published."""
    options = ["--quiet", "--no-deps", "--only-binary", ":all:", "--dest", folder]
    command = [sys.executable, "-m", "pip", "download", *options, requirement]
    subprocess.run(command, check=True, cwd=os.sep)
    (wheel,) = Path(folder).glob("*.whl")
    return wheel


def trim(whole: Path, target: Path, patterns: list[str]) -> None:
    """Copy a wheel without the files that match any of the patterns, in its list of files too."""

    def is_kept(name: str) -> bool:
        return not any(fnmatchcase(name, pattern) for pattern in patterns)

    with zipfile.ZipFile(whole) as source, zipfile.ZipFile(target, "w") as copy:
        for entry in source.infolist():
            if not is_kept(entry.filename):
                continue
            content = source.read(entry)
            if entry.filename.endswith(".dist-info/RECORD"):
                rows = csv.reader(io.StringIO(content.decode()))
                kept = io.StringIO()
                writer = csv.writer(kept, lineterminator="\n")
                writer.writerows(row for row in rows if is_kept(row[0]))
                content = kept.getvalue().encode()
            entry.compress_type = zipfile.ZIP_STORED  # it is unpacked at once
            copy.writestr(entry, content)
