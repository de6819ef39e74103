"""How fast is a first index, and how much memory does it take?

Indexes a copy of a project into an embedded Milvus with the installed command, then runs the
command again with nothing to do. By default the project is part of Python's standard library.

    python benchmarks/first_index.py [PATH] [--files N] [--jobs N] [--cache-dir FOLDER]
        [--json FILE]

Memory is the peak resident size (MiB) of the parent, and that of the largest worker.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import sysconfig
import tempfile
from pathlib import Path
from typing import Any

from common import Run, Unexpected, headline, prepared, write_json


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("path", nargs="?", default=sysconfig.get_path("stdlib"))
    parser.add_argument("--files", type=int, default=200, help="0: all")
    parser.add_argument("--jobs", type=int, default=0)
    parser.add_argument("--cache-dir", type=Path, help="where the converted model is")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        project = Path(folder, "project")
        copy_files(Path(options.path), project, options.files)
        indexer = prepared(Path(folder), options.cache_dir, options.jobs)
        results = {
            name: figures(indexer.run(project, name))
            for name in ("first index", "nothing to do")
        }
    print(headline())
    print(
        f"{'':14}{'files':>8}{'chunks':>8}{'s':>8}{'chunks/s':>10}{'parent':>8}{'worker':>8}"
    )
    for name, result in results.items():
        rate = result["embedded"] / result["seconds"]
        print(
            f"{name:14}{result['files']:8,}{result['chunks']:8,}{result['seconds']:8.2f}"
            f"{rate:10.0f}{result['parent_mib']:8.0f}{result['worker_mib']:8.0f}"
        )
    write_json(options.json, results)


def copy_files(source: Path, target: Path, limit: int) -> None:
    """Copy the first `limit` files (0: all), leaving out installed packages and caches."""
    skipped = {"site-packages", "__pycache__", ".git", ".codx", ".venv"}
    files = sorted(
        path
        for path in source.rglob("*")
        if path.is_file() and skipped.isdisjoint(path.relative_to(source).parts)
    )
    for path in files[: limit or None]:
        where = target / path.relative_to(source)
        where.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, where)


def figures(run: Run) -> dict[str, Any]:
    return {
        "files": run.count("files.scanned"),
        "chunks": run.count("chunks.total"),
        "embedded": run.count("chunks.embedded"),
        "seconds": run.usage.wall,
        "parent_mib": run.usage.parent_mib,
        "worker_mib": run.usage.worker_mib,
    }


if __name__ == "__main__":
    try:
        main()
    except Unexpected as error:
        sys.exit(str(error))
