"""How fast does a GPU embed, how busy is it, and what does half precision cost?

For a machine with a CUDA device, where nothing need be installed and no network is needed:

    python benchmarks/gpu.py [--wheels FOLDER] [--tree FOLDER] [--files N] [--sample N]
        [--minutes M] [--model NAME] [--device cuda|cpu] [--json FILE]

1. Installs the wheels of a folder beside the packages of this Python, for this once.
2. Indexes a copy of a tree (by default Python's standard library) with `codx-index run`, and
   samples how busy the device is meanwhile. The trace of the run says how long the processes
   of the devices were at work.
3. Embeds the same texts on one device with `SentenceTransformer.encode`, in batches of 32 (its
   default) and of 256, and with the embedder that a run uses; all in the run's precision.
4. Compares vectors of the collection with those of an f32 model on the CPU: their cosines, and
   which 10 texts of the sample are nearest to some queries.

The folder of wheels is made where there is a network, with the same Python version and system,
in a checkout:

    pip wheel --constraint constraints.txt --wheel-dir wheels .

On Linux that takes the CUDA build of torch from PyPI, several gigabytes. What the Python of the
other machine has already, such as its torch, may be left out: of the wheels, nothing but what
lies in the folder is installed. Without a wheel of codx-index, this checkout is measured.

All phases together take at most `--minutes`: each has a share of them, and what was found by
then is printed, and written to the file. `--device cpu` does all of it without a GPU, but for
how busy the device is; it shows that the script works, and its figures mean nothing.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

# Nothing that has to be installed first may be imported here.
from common import Unexpected

ROOT = Path(__file__).resolve().parents[1]
RESERVE = 10  # seconds of the child's that are left to end it
LEAST = 30  # seconds without which nothing is begun


def main() -> None:
    options = parse()
    if options.at_work is not None:
        from gpu_phases import work

        work(options.at_work, options)
        return
    # Whoever ends this process ends the other one too, which has a session of its own.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        sys.exit(supervise(Path(folder), options))


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--wheels", type=Path, help="a folder of them")
    stdlib = Path(sysconfig.get_path("stdlib"))
    parser.add_argument("--tree", type=Path, default=stdlib)
    parser.add_argument("--files", type=int, default=1_500, help="0: all")
    parser.add_argument("--sample", type=int, default=500, help="texts to compare")
    parser.add_argument("--minutes", type=float, default=8)
    parser.add_argument("--model", default="all-MiniLM-L6-v2")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--jobs", type=int, default=0)
    parser.add_argument("--json", type=Path)
    # The folder in which the second process, which finds the wheels installed, works.
    parser.add_argument("--at-work", type=Path, help=argparse.SUPPRESS)
    return parser.parse_args()


def supervise(folder: Path, options: argparse.Namespace) -> int:
    """Install the wheels, and let another process do the rest in the time that is left.

    Returns its exit code. A device that hangs holds only that process.
    """
    deadline = time.monotonic() + 60 * options.minutes
    if not options.tree.is_dir():
        raise Unexpected(f"{options.tree} is no folder: --tree needs one")
    paths = [os.environ.get("PYTHONPATH", ""), str(ROOT)]
    if options.wheels is not None:
        paths.insert(0, str(install(options.wheels, folder / "packages", deadline)))
    left = deadline - time.monotonic()
    if left < LEAST:
        raise Unexpected(f"{max(left, 0):.0f} s are left: --minutes needs more")
    variables = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(filter(None, paths)),
        "PYTHONUNBUFFERED": "1",
        "HF_HUB_OFFLINE": "1",
    }
    variables.pop("PYTHONSAFEPATH", None)  # the script finds its neighbours beside it
    here = folder / "work"
    here.mkdir()
    arguments = [*sys.argv[1:], "--at-work", str(here)]
    arguments += ["--minutes", str((left - RESERVE) / 60)]
    process = subprocess.Popen(
        [sys.executable, __file__, *arguments],
        env=variables,
        stdin=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        return process.wait(timeout=left)
    except subprocess.TimeoutExpired:
        raise Unexpected("stopped, because the time is up: something hangs") from None
    finally:
        # What it has started too, such as workers that a hanging device holds.
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def install(wheels: Path, target: Path, deadline: float) -> Path:
    """Install the wheels of a folder into `target`, without what they depend on."""
    found = sorted(map(str, wheels.glob("*.whl")))
    if not found:
        raise Unexpected(f"{wheels} holds no wheels: `pip wheel` makes them")
    started = time.monotonic()
    flags = "--quiet --no-index --no-deps --no-compile --no-cache-dir".split()
    # Its notes, such as one on a newer pip, are none of ours.
    flags += ["--disable-pip-version-check", "--root-user-action", "ignore"]
    call([*flags, "--target", str(target), *found], deadline)
    seconds = time.monotonic() - started
    print(f"{len(found)} wheels installed in {seconds:.0f} s", flush=True)
    return target


def call(arguments: Sequence[str], deadline: float) -> None:
    """Call `pip install`. Raises `Unexpected` with what it says is wrong."""
    try:
        done = subprocess.run(
            [sys.executable, "-m", "pip", "install", *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=max(1, deadline - time.monotonic()),
        )
    except subprocess.TimeoutExpired:
        raise Unexpected("the wheels could not be installed in time") from None
    if done.returncode:
        lines = done.stderr.strip().splitlines() or ["pip does not say why"]
        wrong = [line for line in lines if line.startswith("ERROR")]
        raise Unexpected(f"the wheels cannot be installed: {(wrong or lines[-1:])[0]}")


if __name__ == "__main__":
    try:
        main()
    except Unexpected as error:
        sys.exit(f"gpu.py: {error}")
