"""No content at all makes the decoder or the chunker fail, hang, crash or leave a line out.

`CODX_INDEX_FUZZ_SECONDS` is the budget, and `CODX_INDEX_FUZZ_SEED` the seed; the latter is
another one each time that the slow test runs.
"""

from __future__ import annotations

import os
import random
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
from fatal_source import FATAL

from indexer.pool.process_pool import CRASHES

PROGRAM = Path(__file__).with_name("fuzzing.py")
pytestmark = pytest.mark.slow  # test_chunking.py and test_text.py have nasty texts
MOST_CRASHES = 5  # one in many hours, as far as is known
ROOM = 300  # seconds, for its start, a last long input, and a busy machine


def fuzz(folder: Path, seconds: float, seed: int) -> None:
    """Run the program; what it was at when it ended is part of the message.

    A grammar that crashes the program is said, and the program goes on with the next seed. It
    is no failure, because in a run it costs a worker, and the file is then cut without syntax.
    """
    deadline = time.monotonic() + seconds
    for attempt in range(MOST_CRASHES + 1):
        left = max(5, deadline - time.monotonic())
        if not _fuzz_once(folder, left, seed + attempt):
            return
    pytest.fail(f"{MOST_CRASHES + 1} crashes of grammars, the inputs are in {folder}")


def _fuzz_once(folder: Path, seconds: float, seed: int) -> bool:
    """Run the program to its end; whether that was a grammar's crash."""
    # Spawning from another test has set this; the program imports from its own folder.
    inherited = {k: v for k, v in os.environ.items() if k != "PYTHONSAFEPATH"}
    done = subprocess.run(
        [sys.executable, PROGRAM, folder, str(seconds), str(seed)],
        env=inherited,
        capture_output=True,
        text=True,
        timeout=seconds + ROOM,
    )
    print(done.stdout)
    if _is_crash_of_a_grammar(done):
        kept = (folder / "input").rename(folder / f"crash-{seed}")
        print(
            f"seed {seed}: a grammar crashed: {(folder / 'about').read_text()}: {kept}"
        )
        return True
    if done.returncode:
        data = (folder / "input").read_bytes()
        pytest.fail(
            f"seed {seed}, exit code {done.returncode}\n{done.stdout}{done.stderr}\n"
            f"last: {(folder / 'about').read_text()}, kept as {folder / 'input'}: "
            f"{data[:500]!r}"
        )
    return False


def _is_crash_of_a_grammar(done: subprocess.CompletedProcess[str]) -> bool:
    parsing = (
        r"most recent call first\):\n  File \".*/text/syntax\.py\", line \d+ in parse\n"
    )
    return -done.returncode in CRASHES and bool(re.search(parsing, done.stderr))


def budget(default: float) -> float:
    return float(os.environ.get("CODX_INDEX_FUZZ_SECONDS", default))


def test_fuzzing(tmp_path: Path) -> None:
    fuzz(tmp_path, budget(5), int(os.environ.get("CODX_INDEX_FUZZ_SEED", 0)))


def test_fuzzing_for_long(tmp_path: Path) -> None:
    number = random.SystemRandom().getrandbits(32)
    fuzz(tmp_path, budget(600), int(os.environ.get("CODX_INDEX_FUZZ_SEED", number)))


@pytest.mark.parametrize("death", ["os.abort()", "raise ValueError('of the parser')"])
def test_what_killed_the_process_is_shown(death: str, tmp_path: Path) -> None:
    """The loop itself: an input that kills is named, with its seed."""
    program = tmp_path / "program.py"
    program.write_text(
        "import os, sys\n"
        f"sys.path[:0] = [{str(PROGRAM.parent)!r}]\n"
        "import fuzzing\n"
        "real = fuzzing.check\n"
        "def check(name, data, *rest):\n"
        f"    if b'quux' in data: {death}\n"
        "    real(name, data, *rest)\n"
        "fuzzing.check = check\n"
        "fuzzing.corpus = lambda: [('a.py', b'x = 1'), ('b.py', b'quux = 1')]\n"
        "sys.exit(fuzzing.main(fuzzing.Path(sys.argv[1]), 0, int(sys.argv[3])))\n"
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(f"{__name__}.PROGRAM", program)
        with pytest.raises(pytest.fail.Exception, match="b'quux = 1'") as caught:
            fuzz(tmp_path, 0, 7)
    assert "seed 7" in str(caught.value)
    assert "b.py, 8 bytes" in str(caught.value)


def test_it_goes_on_behind_a_grammar_that_crashes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    program = tmp_path / "program.py"
    program.write_text(
        "import sys\n"
        f"sys.path[:0] = [{str(PROGRAM.parent)!r}]\n"
        "import fuzzing\n"
        "seed = int(sys.argv[3])\n"
        f"found = [('a.fs', {FATAL!r})] if seed == 7 else [('a.py', b'x = 1')]\n"
        "fuzzing.corpus = lambda: found\n"
        "sys.exit(fuzzing.main(fuzzing.Path(sys.argv[1]), 0, seed))\n"
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(f"{__name__}.PROGRAM", program)
        fuzz(tmp_path, 0, 7)
    if (tmp_path / "crash-7").exists():  # a newer grammar may take it
        assert (tmp_path / "crash-7").read_bytes() == FATAL
        assert "seed 7: a grammar crashed: a.fs" in capsys.readouterr().out
        assert (tmp_path / "input").read_bytes() == b"x = 1"
