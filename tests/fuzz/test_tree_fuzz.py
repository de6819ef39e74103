"""Whatever happens to a tree, in any order: after each run its rows equal an oracle that knows
nothing of the program."""

from __future__ import annotations

from pathlib import Path

import pytest
from fuzz_steps import fuzz


def test_some_steps(tmp_path: Path) -> None:
    (tmp_path / "cache").mkdir()
    counts = fuzz(tmp_path, tmp_path / "cache", 7, 15, is_thorough=False)
    assert counts["stamped"] > 0


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(100, 104))
def test_many_steps(seed: int, tmp_path: Path, cache_dir: Path) -> None:
    counts = fuzz(tmp_path, cache_dir, seed, 500, is_thorough=True)
    assert counts["stamped"] > counts["steps"] // 10
