"""Is what stands here fit to be published? `make release-check` prints what is not, and exits with 1.

    python release/check.py ENVIRONMENT

It builds the sdist, and the wheel from that, as `python -m build` does; lets twine check both;
installs each into an environment of its own; and takes the first steps of a user there. The
libraries are those of ENVIRONMENT, a virtual one with requirements-slim.txt in it.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import tour
import yaml

import indexer

ROOT = Path(__file__).parent.parent


def main(environment: str) -> int:
    """Print each step and what is wrong. Returns the exit code."""
    problems = [*disagreements()]
    with tempfile.TemporaryDirectory() as name:
        source, dist = Path(name, "source"), Path(name, "dist")
        copy_tracked(source)
        print("building the sdist, and the wheel from it", flush=True)
        run(sys.executable, "-m", "build", "--outdir", str(dist), cwd=source)
        files = sorted(dist.iterdir())
        run(sys.executable, "-m", "twine", "check", "--strict", *map(str, files))
        for file in files:
            print(f"the first steps with {file.name}", flush=True)
            python = install(file, Path(name, file.suffix.strip(".")), environment)
            try:
                tour.walk(str(python.with_name("codx-index")), str(Path(name, "cache")))
            except tour.Failed as error:
                problems.append(f"{file.name}: {error}")
    print("\n".join(problems) or f"{indexer.__version__} can be published")
    return 1 if problems else 0


def disagreements() -> Iterator[str]:
    """What does not have the version that `indexer/__init__.py` has, or no date."""
    version = indexer.__version__
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    if cited["version"] != version:
        yield f"CITATION.cff has version {cited['version']}, not {version}"
    heading = f"## {version} ("
    changes = (ROOT / "CHANGELOG.md").read_text()
    found = re.search(r"^## (\S+) \((\d{4}-\d\d-\d\d)\)$", changes, re.M)
    if not found or found[1] != version:
        yield f"CHANGELOG.md does not begin with {heading}YYYY-MM-DD)"
    elif str(cited.get("date-released")) != found[2]:
        yield f"CITATION.cff is of {cited.get('date-released')}, CHANGELOG.md of {found[2]}"
    if re.search(r"^## Unreleased\n+(?!## )\S", changes, re.M):
        yield "CHANGELOG.md has changes that are unreleased"


def copy_tracked(target: Path) -> None:
    """A copy of what git tracks: what else lies here must not get into a package."""
    listed = run("git", "ls-files", "-z", cwd=ROOT)
    for name in filter(None, listed.split("\0")):
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, target / name)


def install(file: Path, folder: Path, environment: str) -> Path:
    """Install a package, and nothing else, into a new environment. Returns its Python."""
    base = Path(environment, "bin", "python")
    run(str(base), "-m", "venv", str(folder))
    python = folder / "bin" / "python"
    site = run(str(python), "-c", "import site; print(site.getsitepackages()[0])")
    libraries = run(str(base), "-c", "import site; print(site.getsitepackages()[0])")
    run(str(python), "-m", "pip", "install", "--quiet", "--no-deps", str(file))
    # Behind its own, and without their .pth files, one of which may lead to this checkout.
    Path(site.strip(), "libraries.pth").write_text(libraries)
    return python


def run(*command: str, cwd: Path | None = None) -> str:
    """What a command prints. One that fails ends the check."""
    done = subprocess.run(
        command,
        cwd=cwd,
        env=tour.clean_environment(),
        capture_output=True,
        text=True,
    )
    if done.returncode:
        sys.exit(f"{' '.join(command)} failed:\n{done.stdout}{done.stderr}")
    return done.stdout


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
