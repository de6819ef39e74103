"""The GitHub Action: its scripts are run, with the variables that GitHub sets."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import COMMAND, Project

ROOT = Path(__file__).parents[2]
ACTION: dict[str, Any] = yaml.safe_load((ROOT / "action.yml").read_text())
STEPS: list[dict[str, Any]] = ACTION["runs"]["steps"]
SCRIPTS = {step["name"]: step for step in STEPS if "run" in step}
SHELL = ("bash", "--noprofile", "--norc", "-eo", "pipefail")  # as GitHub calls it


def run(
    name: str, where: Path, temporary: Path, **variables: str
) -> subprocess.CompletedProcess[str]:
    """Run the script of a step, in a folder, with nothing but these variables."""
    script = temporary / "script.sh"
    script.write_text(SCRIPTS[name]["run"])
    return subprocess.run(
        [*SHELL, str(script)],
        cwd=where,
        env={"PATH": "/usr/bin:/bin", "RUNNER_TEMP": str(temporary), **variables},
        capture_output=True,
        text=True,
    )


def outputs(path: Path) -> dict[str, str]:
    return dict(line.split("=", 1) for line in path.read_text().splitlines())


@pytest.fixture
def temporary(tmp_path: Path) -> Path:
    """The temporary folder of a runner, in which codx-index is installed."""
    binaries = tmp_path / "runner" / "codx-index" / "venv" / "bin"
    binaries.mkdir(parents=True)
    (binaries / "codx-index").symlink_to(COMMAND)
    return tmp_path / "runner"


def index(
    project: Project, temporary: Path, partial: str = "warn", arguments: str = ""
) -> tuple[subprocess.CompletedProcess[str], dict[str, str]]:
    """Run the step that indexes. Returns what it did and its outputs."""
    told = temporary / "output"
    told.unlink(missing_ok=True)
    done = run(
        "Index",
        project.root,
        temporary,
        CODX_INDEX_CACHE_DIR=str(project.cache_dir),
        CODX_INDEX_PRECISION="f32",
        CODX_INDEX_MAX_SECONDS="20m",
        INPUT_PATH=".",
        INPUT_ARGUMENTS=arguments,
        INPUT_PARTIAL=partial,
        GITHUB_OUTPUT=str(told),
        GITHUB_STEP_SUMMARY=str(temporary / "summary"),
    )
    return done, outputs(told)


def test_it_indexes_and_tells(project: Project, temporary: Path) -> None:
    project.write("a.py", "x = 1\n")
    done, told = index(project, temporary, arguments="--mode sparse --ignore *.md")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert (told["exit-code"], told["status"]) == ("0", "updated")
    report = json.loads(Path(told["report"]).read_text())
    assert report["files"]["added"] == 1
    assert "codx-index: updated" in (temporary / "summary").read_text()
    # What is wrong with an option is said, and fails.
    done, told = index(project, temporary, arguments="--no-such")
    assert (done.returncode, told["exit-code"], told["status"]) == (2, "2", "")
    assert "--no-such" in done.stderr


@pytest.mark.parametrize(
    ("code", "partial", "ends", "said"),
    [
        (3, "warn", 0, "::warning"),
        (3, "fail", 1, "::warning"),
        (4, "warn", 0, "::notice"),
        (75, "warn", 0, "::notice"),
        (69, "warn", 69, ""),
    ],
)
def test_what_an_exit_code_comes_to(
    code: int, partial: str, ends: int, said: str, project: Project, temporary: Path
) -> None:
    command = temporary / "codx-index" / "venv" / "bin" / "codx-index"
    command.unlink()
    command.write_text(f"#!/bin/sh\nexit {code}\n")
    command.chmod(0o755)
    done, told = index(project, temporary, partial)
    assert told["exit-code"] == str(code)
    assert done.returncode == ends
    assert done.stdout.partition(" ")[0] == said


def test_it_installs_what_lies_beside_it(tmp_path: Path) -> None:
    """With a Python that only says what it is asked for."""
    python = tmp_path / "python"
    python.write_text(
        '#!/bin/sh\nmkdir -p "$3/bin"\n'
        'printf \'#!/bin/sh\\necho "$@" >> "%s/asked"\\n\' "$RUNNER_TEMP" > "$3/bin/pip"\n'
        'chmod +x "$3/bin/pip"\n'
    )
    python.chmod(0o755)
    done = run(
        "Install", tmp_path, tmp_path, PYTHON=str(python), GITHUB_ACTION_PATH=str(ROOT)
    )
    assert (done.returncode, done.stderr) == (0, "")
    first, second = (tmp_path / "asked").read_text().splitlines()
    (file,) = re.findall("--requirement (.*)", first)
    assert (ROOT / file).is_file() and "--no-deps" in first
    assert second == "install --quiet --no-deps ."


def test_its_parts_agree() -> None:
    named = set(re.findall(r"inputs\.([a-z-]+)", json.dumps(STEPS)))
    assert named == set(ACTION["inputs"])
    restored, saved = (
        step["with"] for step in STEPS if "cache" in step.get("uses", "")
    )
    assert (restored["path"], restored["key"]) == (saved["path"], saved["key"])
    assert restored["key"].startswith(restored["restore-keys"])
    index = SCRIPTS["Index"]["env"]
    assert index["CODX_INDEX_CACHE_DIR"] in restored["path"].split("\n")
    for step in STEPS:
        if "uses" in step:  # a tag can be moved, a commit cannot
            assert re.fullmatch(r"[\w./-]+@[0-9a-f]{40}", step["uses"])
        else:  # a value in the text of a script could be a script
            assert "${{" not in step["run"]


def test_what_the_page_says_of_it() -> None:
    page = (ROOT / "docs" / "how-to" / "ci.md").read_text()
    told = dict(re.findall(r"^\| `([a-z-]+)` \| `?([^`|]*?)`? ?\|", page, re.M))
    assert told == {name: one["default"] for name, one in ACTION["inputs"].items()}
    (example,) = re.findall(
        r"^```yaml\n(.*?gbrian/codx-index@.*?)^```", page, re.M | re.S
    )[:1]
    (job,) = yaml.safe_load(example)["jobs"].values()
    _, step, upload = job["steps"]
    assert set(step["with"]) <= set(ACTION["inputs"])
    assert (
        step["id"] == "index" and "steps.index.outputs.report" in upload["with"]["path"]
    )
    assert "report" in ACTION["outputs"]
