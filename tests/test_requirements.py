"""What the slim environment is made of: its requirements, and wheels without unneeded parts."""

from __future__ import annotations

import base64
import hashlib
import subprocess
import sys
import tomllib
import zipfile
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parent.parent
TRIMMED = sorted(path.parent for path in ROOT.glob("slim/*/pyproject.toml"))
FILES = {
    "lib/__init__.py": b"",
    "lib/core.so.1": b"core",
    "lib/gpu.so.1": b"gpu",
    "lib/tests/test_a.py": b"assert True\n",
}


@pytest.fixture(scope="module")
def trimmed() -> ModuleType:
    """The build backend."""
    spec = spec_from_file_location("trimmed", ROOT / "slim" / "trimmed.py")
    assert spec is not None and spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_slim_requirements_follow_the_constraints() -> None:
    """`make requirements-slim.txt` brings them up to date."""
    made = subprocess.run(
        [sys.executable, ROOT / "slim" / "requirements.py"],
        capture_output=True,
        text=True,
    )
    assert made.returncode == 0, made.stderr
    assert made.stdout == (ROOT / "requirements-slim.txt").read_text()


def test_a_wheel_is_trimmed_with_its_list_of_files(
    trimmed: ModuleType, tmp_path: Path
) -> None:
    whole, copy = tmp_path / "lib-1-py3-none-any.whl", tmp_path / "copy.whl"
    record = "lib-1.dist-info/RECORD"
    with zipfile.ZipFile(whole, "w") as wheel:
        for name, content in FILES.items():
            wheel.writestr(name, content)
        wheel.writestr(record, "".join(listed(name) for name in [*FILES, record]))
    trimmed.trim(whole, copy, ["lib/gpu.so.*", "lib/tests/*"])
    kept = ["lib/__init__.py", "lib/core.so.1", record]
    with zipfile.ZipFile(copy) as wheel:
        assert wheel.namelist() == kept
        assert wheel.read(record).decode() == "".join(map(listed, kept))
        assert wheel.read("lib/core.so.1") == b"core"


def listed(name: str) -> str:
    """The line of a file in a wheel's RECORD."""
    if name not in FILES:
        return f"{name},,\n"
    digest = base64.urlsafe_b64encode(hashlib.sha256(FILES[name]).digest())
    return f"{name},sha256={digest.decode().rstrip('=')},{len(FILES[name])}\n"


@pytest.mark.parametrize("folder", TRIMMED, ids=lambda folder: str(folder.name))
def test_each_library_is_pinned(
    folder: Path, trimmed: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    about = tomllib.loads((folder / "pyproject.toml").read_text())["tool"]["trimmed"]
    assert trimmed.pin(about["library"]).startswith(f"{about['library']}==")
    assert (folder / "trimmed.py").samefile(ROOT / "slim" / "trimmed.py")
