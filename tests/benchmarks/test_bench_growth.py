"""The benchmark of a day's work at several sizes, here and at another revision."""

from __future__ import annotations

import argparse
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from bench_harness import BENCHMARKS, finished, launch

ACTS = [
    *("first", "edit", "rename", "delete", "commit"),
    *("no-op", "check", "search", "next search"),
]


def sample(value: float) -> dict[str, Any]:
    figures = {"wall": value, "cpu": 2 * value, "mib": 100 * value}
    return {**figures, "samples": {name: [one] for name, one in figures.items()}}


def measured(rows: int, is_many_rows: bool) -> dict[str, Any]:
    return {
        "title": f"{rows:,} files",
        "files": rows,
        "rows": {"now": rows, "abc1234": rows + 1},
        "is_many_rows": is_many_rows,
        "acts": {act: {"now": sample(1), "abc1234": sample(4)} for act in ACTS},
    }


@pytest.mark.slow
def test_both_revisions_do_each_act_in_turn(tmp_path: Path) -> None:
    commit = ("git", "-C", BENCHMARKS, "rev-parse", "--short=7", "HEAD")
    asked = subprocess.run(commit, capture_output=True, text=True)
    if asked.returncode:
        pytest.skip("this is no git repository")
    found = tmp_path / "found.json"
    done = finished(
        *("updates.py", "--against", "HEAD", "--files", "24", "--rows", "300"),
        *("--rounds", "1", "--distinct", "44", "--json", found),
    )

    small, large = json.loads(found.read_text())["growth"]
    both = {"now", asked.stdout.strip()}
    for size in (small, large):
        assert list(size["acts"]) == ACTS
        assert all(set(sides) == both for sides in size["acts"].values())
        assert f"| {size['title']}, " in done.stdout
        for act in ACTS:
            for side in size["acts"][act].values():
                assert all(len(side["samples"][name]) == 1 for name in side["samples"])
                assert side["wall"] > 0 and side["cpu"] > 0 and side["mib"] > 1
    assert (small["files"], large["files"]) == (24, 15)
    assert large["rows"]["now"] > 10 * small["files"]


def test_the_plot_and_the_tables_come_from_the_json(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    found, later = tmp_path / "found.json", tmp_path / "later.json"
    picture = tmp_path / "growth.png"
    growth = [measured(1_000, False), measured(50_000, False)]
    found.write_text(json.dumps({"growth": growth}))
    later.write_text(json.dumps({"growth": [measured(200_000, True)]}))
    done = finished("growth.py", found, later, "--plot", picture)

    assert picture.read_bytes().startswith(b"\x89PNG")
    assert "| 50,000 files, 50,000 and 50,001 rows" in done.stdout
    assert done.stdout.count("| 1.000 | 2.000 | 100 | 4.000 | 8.000 | 400 | 0.25") == (
        3 * len(ACTS)
    )


def test_a_file_without_these_figures_is_named(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    found = tmp_path / "other.json"
    found.write_text("{}")
    done = launch("growth.py", found, "--plot", tmp_path / "growth.png")
    assert done.returncode == 1
    assert done.stderr == f"{found}: updates.py --small has not written this\n"


def test_figures_of_two_revisions_are_not_mixed(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    found = [tmp_path / "one.json", tmp_path / "two.json"]
    alone = measured(1_000, False)
    found[0].write_text(json.dumps({"growth": [alone]}))
    found[1].write_text(json.dumps({"growth": [{**alone, "rows": {"now": 1}}]}))
    done = launch("growth.py", *found, "--plot", tmp_path / "growth.png")
    assert done.stderr == "the files are about different revisions\n"


def test_an_unknown_revision_is_named_before_anything_is_measured() -> None:
    done = launch("updates.py", "--against", "no-such-revision", "--files", "24")
    assert done.returncode == 1
    assert "no commit 'no-such-revision'" in done.stderr


def test_what_does_not_go_with_one_file_is_refused() -> None:
    done = launch("updates.py", "--small", "--repo", ".")
    assert done.returncode == 2
    assert "--small and --against have no --repo" in done.stderr


def test_the_questions_are_the_same_on_both_sides(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.syspath_prepend(BENCHMARKS)
    from turns import NEXT, asked, sizes

    assert asked(3) == asked(3) != asked(4)
    assert len(set(asked(3))) > NEXT // 2
    options = argparse.Namespace(files=[1_000], rows=[200_000])
    small, large = sizes(options)
    assert (small.title, large.title) == (
        "1,000 files",
        "10,526 files of about 19 chunks",
    )
