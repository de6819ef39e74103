"""Does it work on each Python? `make test-pythons` prints a line for each, and exits with 1 for a no.

    python release/pythons.py [VERSION...]

For each version, it looks for an interpreter on the PATH and among pyenv's, installs
requirements-slim.txt and codx-index into `.venv-pythons/VERSION`, imports every module, takes
the first steps of a user and runs some of the tests. A version is skipped where this machine has
no interpreter, or a pinned library has no wheel for it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import tour

ROOT = Path(__file__).parent.parent
VERSIONS = ("3.11", "3.12", "3.13", "3.14")
# pandas, because pymilvus does without it in a process of ours alone, and not in that of tests.
TEST_LIBRARIES = (
    *("hypothesis", "jsonschema", "packaging", "pandas", "psutil", "pytest"),
    "pyyaml",
)
# A part of the quick tests, of each kind: pure, with sqlite, and whole runs.
TESTS = (
    "tests/text/test_text.py",
    "tests/settings/test_settings.py",
    "tests/cache",
    "tests/run/test_run.py",
)
# It needs torch.
DESELECTED = "tests/run/test_run.py::test_another_model_gets_a_collection_of_its_own"
# What the modules below are for is not in the slim environment.
NOT_SLIM = ("indexer.work.cluster", "indexer.work.dask_library")
IMPORTS = f"""
import importlib, pkgutil, indexer
for one in pkgutil.walk_packages(indexer.__path__, "indexer."):
    if one.name not in {NOT_SLIM!r} and not one.name.endswith("__main__"):
        importlib.import_module(one.name)
"""


class Skipped(Exception):
    """A version cannot be tried here; the text says why."""


def main(*versions: str) -> int:
    """Try the versions, all by default. Returns the exit code."""
    code = 0
    for version in versions or VERSIONS:
        try:
            result = outcome(version)
        except Skipped as reason:
            result = f"skipped: {reason}"
        except tour.Failed as error:
            result, code = f"FAILED: {error}", 1
        print(f"{version}  {result}", flush=True)
    return code


def outcome(version: str) -> str:
    """What was tried of a version, and worked. Raises `Skipped` and `tour.Failed`."""
    environment = ROOT / ".venv-pythons" / version
    python = environment / "bin" / "python"
    call(interpreter(version), "-m", "venv", str(environment))
    pip = (str(python), "-m", "pip", "install", "--quiet", "--only-binary", ":all:")
    done = attempt(*pip, "--no-deps", "--requirement", "requirements-slim.txt")
    if done.returncode:
        raise Skipped(done.stderr.strip().splitlines()[-1])
    call(*pip, "--constraint", "constraints.txt", *TEST_LIBRARIES)
    call(str(python), "-m", "pip", "install", "--quiet", "--no-deps", "--editable", ".")
    call(str(python), "-W", "error", "-c", IMPORTS)
    tour.walk(str(environment / "bin" / "codx-index"), str(environment / "cache"))
    tested = call(
        str(python),
        "-m",
        "pytest",
        "-m",
        "not slow and not server and not slim",
        "--deselect",
        DESELECTED,
        *TESTS,
    )
    full = call(str(python), "--version").strip()
    return f"{full}: imports, first steps, {tested.strip().splitlines()[-1]}"


def interpreter(version: str) -> str:
    """An interpreter of a version that works here, the newest of pyenv's first. Raises `Skipped`."""
    root = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    installed = (root / "versions").glob(f"{version}.*/bin/python")
    found = sorted(installed, key=lambda path: int(path.parts[-3].split(".")[2]))
    candidates = [*map(str, reversed(found)), shutil.which(f"python{version}")]
    for one in filter(None, candidates):  # a shim of pyenv's may lead nowhere
        if not attempt(one, "-c", "pass").returncode:
            return one
    raise Skipped("there is no such Python on this machine")


def attempt(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        cwd=ROOT,
        env=tour.clean_environment(),
        capture_output=True,
        text=True,
    )


def call(*command: str) -> str:
    """What a command prints. Raises `tour.Failed`."""
    done = attempt(*command)
    if done.returncode:
        raise tour.Failed(f"{' '.join(command)}:\n{done.stdout}{done.stderr}")
    return done.stdout


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
