"""The examples of docs/how-to/ci.md, as far as they run here; metrics, summaries and logs."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import in_process
import pytest
import yaml
from conftest import COMMAND, GIT_ENVIRONMENT, Project
from prometheus_client.parser import text_string_to_metric_families

ROOT = Path(__file__).parents[2]
EXAMPLES = re.findall(
    r"^```(\w+)\n(.*?)^```",
    (ROOT / "docs" / "how-to" / "ci.md").read_text(),
    re.M | re.S,
)
BIN = str(Path(COMMAND).parent)


def examples(language: str) -> list[str]:
    return [text for name, text in EXAMPLES if name == language]


def github() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(examples("yaml")[1])
    return found


def gitlab() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(examples("yaml")[2])
    return found


def bare(
    project: Project, command: str, **variables: str
) -> subprocess.CompletedProcess[str]:
    """A line of shell with nothing but these variables, and stdin closed."""
    settings = [f"{name}={value}" for name, value in variables.items()]
    return subprocess.run(
        ["env", "-i", *settings, "/bin/sh", "-c", f"{command} <&-"],
        cwd=project.root,
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_the_github_job(project: Project, tmp_path: Path) -> None:
    (job,) = github()["jobs"].values()
    steps = {step.get("name", step.get("uses")): step for step in job["steps"]}
    for step in ("actions/cache/restore@v4", "actions/cache/save@v4"):
        kept = steps[step]["with"]["path"].split()
        assert kept == ["${{", "env.CODX_INDEX_CACHE_DIR", "}}", ".codx/index"]
    assert steps["actions/cache/save@v4"]["if"] == "always()"
    assert steps["Install"]["run"] == "pip install codx-index"
    summary = tmp_path / "summary.md"
    project.write("a.py", "x = 1\n")
    project.write("b|c.py", b"\0")
    done = bare(
        project,
        steps["Index"]["run"],
        PATH=f"{BIN}:/usr/bin:/bin",
        CODX_INDEX_CACHE_DIR=str(project.cache_dir),
        CODX_INDEX_URI="",  # as a variable that is not set comes out
        CODX_INDEX_TOKEN="",
        GITHUB_STEP_SUMMARY=str(summary),
    )
    assert (done.returncode, done.stderr) == (0, "")
    report = json.loads((project.root / "report.json").read_text())
    assert report["status"] == "updated"
    text = summary.read_text()
    assert text.startswith("### codx-index: updated (exit code 0)\n")
    assert "| changes | " in text
    # What exit code the documented end lets pass.
    (end,) = re.findall(r"(\|\| case .*? esac)\n", steps["Index"]["run"])
    for code, passes in ((0, 0), (3, 0), (4, 0), (75, 0), (1, 1), (69, 1)):
        assert subprocess.run(["sh", "-c", f"(exit {code}) {end}"]).returncode == passes


def test_the_gitlab_job(project: Project) -> None:
    job = gitlab()["index"]
    (script,) = job["script"]
    project.write("a.py", "x = 1\n")
    inside = project.root / ".codx" / "cache"
    shutil.copytree(project.cache_dir, inside, symlinks=True)
    assert job["cache"]["paths"] == [".codx/cache", ".codx/index"]
    assert job["variables"]["CODX_INDEX_CACHE_DIR"] == "$CI_PROJECT_DIR/.codx/cache"
    for expected in (1, 0):
        done = bare(
            project,
            script,
            PATH=f"{BIN}:/usr/bin:/bin",
            CODX_INDEX_CACHE_DIR=str(inside),
        )
        assert (done.returncode, done.stderr) == (0, "")
        report = json.loads((project.root / "report.json").read_text())
        assert report["files"]["added"] >= expected
    assert job["allow_failure"]["exit_codes"] == [3, 4, 75]
    paths = {row["path"] for row in project.rows().values()}
    assert paths == {"a.py"}


def test_the_crontab_line(project: Project, tmp_path: Path) -> None:
    (line,) = examples("crontab")
    *times, command = line.strip().split(None, 5)
    assert times == ["*/5", "*", "*", "*", "*"]
    setting, *arguments = shlex.split(command)
    assert setting == "CODX_INDEX_CACHE_DIR=/var/cache/codx-index"
    assert arguments[:3] == [
        "/opt/codx-index/bin/codx-index",
        "run-all",
        "/srv/projects",
    ]
    project.write("a.py", "x = 1\n")
    project.write("codx-index.toml", "")
    home = tmp_path / "home"
    home.mkdir()
    home.chmod(0o500)
    there = [COMMAND, "run-all", str(project.root), *arguments[3:]]
    for _ in range(2):
        done = bare(
            project,
            shlex.join(there),
            HOME="/proc",  # which even root cannot write
            CODX_INDEX_CACHE_DIR=str(project.cache_dir),
        )
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert {row["path"] for row in project.rows().values()} == {"a.py"}


@pytest.mark.slow  # for each run converts the model anew
def test_no_folder_for_the_cache(project: Project) -> None:
    project.write("a.py", "x = 1\n")
    done = bare(project, f"{COMMAND} run --quiet --force", HOME="/proc")
    assert done.returncode == 0 and done.stdout == ""
    assert "CODX_INDEX_CACHE_DIR" in done.stderr, done.stderr


def test_the_systemd_units(tmp_path: Path) -> None:
    service, timer = examples("ini")
    if not (analyze := shutil.which("systemd-analyze")):
        pytest.skip("there is no systemd here")
    service = service.replace("/opt/codx-index/bin/codx-index", COMMAND)
    service = service.replace("User=codx", "User=root")
    (tmp_path / "codx-index.service").write_text(service)
    (tmp_path / "codx-index.timer").write_text(timer)
    for name in ("codx-index.service", "codx-index.timer"):
        done = subprocess.run(
            [analyze, "verify", "--man=no", str(tmp_path / name)],
            capture_output=True,
            text=True,
        )
        said = [line for line in done.stderr.splitlines() if "codx-index" in line]
        assert (done.returncode, said) == (0, []), done.stderr
    assert "SuccessExitStatus=4 75" in service
    (command,) = re.findall("^ExecStart=(.*)$", service, re.M)
    assert "run-all /srv/projects --quiet --log-format json" in command


def test_the_pre_commit_hook(project: Project, tmp_path: Path) -> None:
    """pre-commit itself installs the hook, and a commit indexes what it commits."""
    manifest = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text())
    config = yaml.safe_load(examples("yaml")[3])
    assert config["repos"][0]["hooks"] == [{"id": manifest[0]["id"]}]
    hooks = tmp_path / "hooks"
    hooks.mkdir()
    shutil.copyfile(ROOT / ".pre-commit-hooks.yaml", hooks / ".pre-commit-hooks.yaml")
    source = Project(hooks, project.cache_dir)
    source.git("init", "-q", "-b", "main")
    source.git("add", ".")
    source.git("commit", "-qm", "hooks")
    config["repos"][0] |= {
        "repo": str(hooks),
        "rev": source.git("rev-parse", "HEAD").strip(),
    }
    project.write(".pre-commit-config.yaml", yaml.safe_dump(config))
    environment = {
        **project.variables(),
        **GIT_ENVIRONMENT,
        "PRE_COMMIT_HOME": str(tmp_path / "pre-commit"),
        "PATH": f"{BIN}:{os.environ['PATH']}",
    }

    def run(*command: str) -> None:
        done = subprocess.run(
            command, cwd=project.root, env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout + done.stderr

    run(f"{BIN}/pre-commit", "install")
    project.write("a.py", "x = 1\n")
    run("git", "add", ".")
    run("git", "commit", "-qm", "one")
    assert {row["path"] for row in project.rows().values()} >= {"a.py"}
    run("git", "mv", "a.py", "b.py")
    run("git", "commit", "-qm", "two")
    paths = {row["path"] for row in project.rows().values()}
    assert "b.py" in paths and "a.py" not in paths


# Metrics


def metrics(path: Path) -> dict[str, dict[tuple[str, ...], float]]:
    found: dict[str, dict[tuple[str, ...], float]] = {}
    for family in text_string_to_metric_families(path.read_text()):
        for sample in family.samples:
            labels = dict(sample.labels)
            assert labels.pop("project") and labels.pop("collection") == "codx_index"
            found.setdefault(sample.name, {})[tuple(labels.values())] = sample.value
    return found


def test_metrics(project: Project, tmp_path: Path) -> None:
    path = tmp_path / "codx.prom"
    project.write("a.py", "x = 1\n")
    project.write("b.png", b"\0")
    report = project.run("--metrics", str(path))
    first = metrics(path)
    assert path.stat().st_mode & 0o777 == 0o644
    assert first["codx_index_exit_code"][()] == 0
    assert first["codx_index_run_files"][("added",)] == report["files"]["added"] == 1
    assert first["codx_index_run_skipped_files"][("binary",)] == 1
    assert first["codx_index_chunks"][()] == report["chunks"]["total"]
    success = first["codx_index_last_success_timestamp_seconds"][()]
    # A failure says so, and remembers the last success.
    project.run("--metrics", str(path), "--model", "no/such", code=1)
    second = metrics(path)
    assert second["codx_index_exit_code"][()] == 1
    assert second["codx_index_last_success_timestamp_seconds"][()] == success
    assert second["codx_index_last_run_timestamp_seconds"][()] > success
    assert [p.name for p in tmp_path.iterdir() if "codx-index" in p.name] == []
    # A folder that is not there fails no run, and is said.
    done = project.command("run", "--metrics", "/no/such/file.prom")
    assert done.returncode == 0 and "cannot write /no/such/file.prom" in done.stderr


def test_a_summary_holds_any_text(project: Project, tmp_path: Path) -> None:
    path = tmp_path / "summary.md"
    path.write_text("# before\n")
    project.environment["GITHUB_STEP_SUMMARY"] = str(path)
    project.write("a|<b>`.py", "# @" + "codx: me\n")
    project.run("--mentions-command", "false", code=3)
    text = path.read_text()
    assert text.startswith("# before\n### codx-index: partial (exit code 3)\n")
    assert "a&#124;&#60;b&#62;&#96;.py" in text and "<b>" not in text


# Logs


def raw(project: Project, *arguments: str) -> str:
    """What a command says on stderr, times and all."""
    return in_process.call(arguments, project.root, project.variables()).stderr


TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"


def test_lines_have_the_time_where_no_terminal_shows_it(project: Project) -> None:
    project.write("a.py", "x = 1\n")
    project.environment["CODX_INDEX_TOKEN"] = "s3cret"
    for arguments in (("run", "-vv", "--force"), ("status", "--model", "no/such")):
        said = raw(project, *arguments).splitlines()
        assert said
        assert all(re.match(f"{TIME} codx-index: ", line) for line in said), said
        assert "s3cret" not in "".join(said)
    said = raw(project, "run", "-vv", "--force").splitlines()
    assert any("file-loaded path=a.py change=modified" in line for line in said)
    assert any("1 file may have changed" in line for line in said)
    assert raw(project, "run", "--force") == ""
    # At a terminal there is no time.
    reading, writing = os.openpty()
    subprocess.run(
        [COMMAND, "run", "--model", "no/such"],
        cwd=project.root,
        env=project.variables(),
        stderr=writing,
    )
    os.close(writing)
    assert os.read(reading, 9999).startswith(b"codx-index: ")
    os.close(reading)


def test_lines_of_json(project: Project) -> None:
    project.write("a.py", "x = 1\n")
    said = raw(project, "run", "-vv", "--log-format", "json").splitlines()
    said += raw(
        project, "run", "--log-format", "json", "--model", "no/such"
    ).splitlines()
    found = [json.loads(line) for line in said]
    assert {line["level"] for line in found} == {"info", "debug", "error"}
    assert all(re.fullmatch(TIME, line["time"]) for line in found)
    loaded = [line for line in found if line["message"] == "file-loaded"]
    assert [(line["path"], line["change"]) for line in loaded] == [("a.py", "added")]
    assert "no/such" in found[-1]["message"]


def test_libraries_say_nothing(project: Project) -> None:
    project.write("a.py", "x = 1\n")
    script = (
        "import logging, sys\n"
        "sys.argv = ['codx-index', 'run']\n"
        "import atexit\n"
        "from indexer import pipeline\n"
        "from indexer.cli.main import main\n"
        "real = pipeline.run\n"
        "def noisy(*a):\n"
        "    logging.getLogger('a.library').error('noise')\n"
        "    real(*a)\n"
        "pipeline.run = noisy\n"
        "main()\n"
    )
    done = project.launch(sys.executable, "-P", "-c", script)
    assert (done.returncode, done.stderr) == (0, "") and "1 added" in done.stdout
