"""The benchmark of a fleet runs, and what it counts is what was done."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from bench_harness import finished

pytest.importorskip("distributed")


@pytest.mark.slow
@pytest.mark.parametrize("kind", [(), ("--clones",)])
def test_a_small_fleet(kind: tuple[str, ...], tmp_path: Path) -> None:
    found = tmp_path / "found.json"
    finished(
        *("fleet.py", "--repositories", "11", "--files", "2", "--workers", "2"),
        *(*kind, "--folder", str(tmp_path / "fleet"), "--json", str(found)),
    )
    passes = json.loads(found.read_text())["passes"]
    assert [one["name"] for one in passes] == ["first", "again", "changed", "again"]
    assert [one["codes"] for one in passes] == [{"0": 11}] * 4
    first, again, changed, last = (one["embedded"] for one in passes)
    assert first == 22 and changed == 2 and (again, last) == (0, 0)
    for one in passes:
        assert all(one["cpu"][kind] > 0 for kind in ("workers", "scheduler", "client"))
