"""What must hold after a run, and what is known of the rows before it."""

from __future__ import annotations

import json
import subprocess
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

from conftest import Project
from fuzz_git import GitActs
from fuzz_oracle import SETTINGS, Options, Oracle, Refusal
from fuzz_rows import Row, faults, read_rows

Rows = dict[str, list[Row]]
PLAIN = Options()


class Checks:
    """Runs of one project, each compared with the oracle.

    `rows` are those after the last run of each work tree, None where they are not known.
    """

    def __init__(self, project: Project, git: GitActs) -> None:
        self.project = project
        self.git = git
        self.rows: dict[Path, Rows | None] = {}
        self.counts: Counter[str] = Counter()

    def _report(self, *arguments: str) -> dict[str, Any]:
        done = self.project.command("run", "--here", "--json", *arguments)
        report: dict[str, Any] = json.loads(done.stdout or "{}")
        report["exit_code"], report["said"] = done.returncode, done.stderr
        self.counts["runs"] += 1
        return report

    def _run(self, options: Options, *arguments: str) -> bool:
        return self._compare(self._report(*arguments), options)

    def _compare(self, report: dict[str, Any], options: Options) -> bool:
        """Whether the run did its work, whose rows are then right. If not, it had to be refused."""
        root = self.project.root
        try:
            expected = Oracle(root, self.project.variables()).files(options)
        except Refusal as refusal:
            self.counts["refused"] += 1
            assert report["exit_code"] == refusal.code, (refusal, report)
            before = self._known_rows()
            assert before is None or before == read_rows(root)
            self._mend()
            return False
        assert report["exit_code"] == 0, report
        self.rows[root] = rows = read_rows(root)
        found = faults(rows, expected, root)
        assert not found, f"{report['status']}: {found}"
        self.counts["files"] += len(expected)
        is_stamped = report["status"] == "unchanged" and not report["seconds"]["stamp"]
        self.counts["stamped"] += is_stamped
        self.counts["unchanged"] += report["status"] == "unchanged"
        return True

    def _again(self, options: Options = PLAIN, *arguments: str) -> None:
        """At once, there is nothing to do any more."""
        if self._known_rows() is None:
            return
        report = self._report(*arguments)
        if report["exit_code"] == 0:
            assert report["status"] == "unchanged", report
        self._compare(report, options)

    def _verify(self) -> None:
        if self._known_rows() is not None and self._expected() is not None:
            done = self.project.command("verify")
            assert done.returncode == 0, done.stdout + done.stderr

    def _known_rows(self) -> Rows | None:
        """The rows of the work tree, None where they are not known."""
        root = self.project.root
        if not (root / ".codx/index/manifest.sqlite").exists():  # git clean
            self.rows[root] = None
        return self.rows.get(root)

    def _expected(self) -> dict[str, str] | None:
        """What the oracle says of the tree, None where a run would refuse it."""
        try:
            return Oracle(self.project.root, self.project.variables()).files()
        except Refusal:
            return None

    def _check_status(self) -> None:
        """`status --check` tells whether a run would change a row."""
        root, before = self.project.root, self._known_rows()
        expected = self._expected()
        if before is None or expected is None:
            return
        done = self.project.command("status", "--check")
        is_equal = not faults(before, expected, root)
        assert done.returncode == (0 if is_equal else 1), (
            is_equal,
            done.stdout,
            done.stderr,
        )

    def _mend(self) -> None:
        """After a state that a run refuses: take its cause away."""
        with suppress(FileNotFoundError):
            (self.project.root / SETTINGS).unlink()
        for path in sorted(self.project.root.rglob(".git")):
            if not path.is_dir() and not self._is_top(path.parent):
                path.unlink()  # of a submodule that was moved or copied
        self._run(PLAIN)

    def _is_top(self, folder: Path) -> bool:
        try:
            top = self.git.git("rev-parse", "--show-toplevel", folder=folder)
        except subprocess.CalledProcessError:
            return False
        return top.removesuffix("\n") == str(folder)

    @staticmethod
    def _has_other_format(rows: Rows, expected: dict[str, str]) -> bool:
        """Whether the repository came or went, which changes the id of each file."""
        lengths = {len(row["file_hash"]) for found in rows.values() for row in found}
        return bool(lengths - {len(hash_) for hash_ in expected.values()})


def differences(one: Rows, two: Rows) -> list[str]:
    return sorted(
        path for path in one.keys() | two.keys() if one.get(path) != two.get(path)
    )
