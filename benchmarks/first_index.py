"""How fast is a first index, and how much memory does it take?

Indexes a copy of a project into an embedded Milvus with the installed command, then runs
again with nothing to do. By default the project is a part of Python's standard library.

    python benchmarks/first_index.py [PATH] [--files N] [--jobs N] [--json FILE]

Memory is the largest resident size (MiB) of the parent, and of the largest worker.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import psutil

COMMAND = os.path.join(sysconfig.get_path("scripts"), "codx-index")
MIB = 1024 * 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("path", nargs="?", default=sysconfig.get_path("stdlib"))
    parser.add_argument("--files", type=int, default=200, help="0: all")
    parser.add_argument("--jobs", type=int, default=0)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        project, cache = Path(folder, "project"), Path(folder, "cache")
        copy_files(Path(options.path), project, options.files)
        # Convert the model first: it happens once a machine, not once a project.
        Path(folder, "empty").mkdir()
        index(Path(folder, "empty"), cache, options.jobs)
        results = {
            "first index": index(project, cache, options.jobs),
            "nothing to do": index(project, cache, options.jobs),
        }
    print(
        f"{platform.machine()}, {os.cpu_count()} CPUs, Python {sys.version.split()[0]}"
    )
    print(
        f"{'':14}{'files':>8}{'chunks':>8}{'s':>8}{'chunks/s':>10}{'parent':>8}{'worker':>8}"
    )
    for name, result in results.items():
        rate = result["embedded"] / result["seconds"]
        print(
            f"{name:14}{result['files']:8,}{result['chunks']:8,}{result['seconds']:8.2f}"
            f"{rate:10.0f}{result['parent_mib']:8.0f}{result['worker_mib']:8.0f}"
        )
    if options.json:
        options.json.write_text(json.dumps(results, indent=2) + "\n")


def copy_files(source: Path, target: Path, limit: int) -> None:
    """Copy the first `limit` files (0: all) that are not installed packages or caches."""
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


def index(project: Path, cache: Path, jobs: int) -> dict[str, Any]:
    """Run the command, watching the memory of its processes."""
    variables = {**os.environ, "CODX_INDEX_CACHE_DIR": str(cache)}
    started = time.perf_counter()
    process = subprocess.Popen(
        [COMMAND, "run", str(project), "--json", "--jobs", str(jobs)],
        env=variables,
        stdout=subprocess.PIPE,
        text=True,
    )
    peaks = {"parent_mib": 0.0, "worker_mib": 0.0}
    watcher = threading.Thread(target=watch, args=(process.pid, peaks))
    watcher.start()
    output, _ = process.communicate()
    seconds = time.perf_counter() - started
    watcher.join()
    if process.returncode != 0:
        sys.exit(f"codx-index ended with {process.returncode}: {output}")
    report = json.loads(output)
    return {
        "files": report["files"]["scanned"],
        "chunks": report["chunks"]["total"],
        "embedded": report["chunks"]["embedded"],
        "seconds": seconds,
        **peaks,
    }


def watch(pid: int, peaks: dict[str, float]) -> None:
    """Keep the largest resident sizes until the process is gone."""
    try:
        parent = psutil.Process(pid)
        while parent.status() != psutil.STATUS_ZOMBIE:
            note(peaks, "parent_mib", parent)
            for child in parent.children(recursive=True):
                note(peaks, "worker_mib", child)
            time.sleep(0.05)
    except psutil.NoSuchProcess:
        pass


def note(peaks: dict[str, float], name: str, process: psutil.Process) -> None:
    try:
        peaks[name] = max(peaks[name], process.memory_info().rss / MIB)
    except psutil.NoSuchProcess:
        pass


if __name__ == "__main__":
    main()
