"""Every command in the pages is one that there is, and does what the page says."""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Callable
from pathlib import Path

import click
import pytest
from conftest import Project, make_cache
from every_command import COMMANDS
from examples import NOT_RUN, ROOT, Example, examples

EXAMPLES = list(examples())
TOUR = (ROOT / "docs" / "tour.md").read_text(encoding="utf-8")
SERVER = re.compile(r"https?://(milvus|127\.0\.0\.1)[\w.]*:19530")
SOURCES = {
    "src/app.py": "import dates\n\n"
    + "".join(
        f"def step_{n}(day):\n    return dates.parse_a_date(day) + {n}\n\n\n"
        for n in range(40)
    ),
    "src/dates.go": "package dates\n\n// ParseADate parses a date.\nfunc ParseADate(s string) int {\n\treturn 0\n}\n",
    "src/dates.py": 'def parse_a_date(text):\n    """Parse a date."""\n    return 0\n',
    "src/billing/retry.py": "class RetryPolicy:\n"
    + "".join(
        f"    LIMIT_{n} = {n}  # failed payments are tried again\n" for n in range(60)
    ),
}


def test_there_are_examples() -> None:
    assert len(EXAMPLES) > 60
    skipped = [one for one in EXAMPLES if one.reason_not_to_run]
    assert len(skipped) < len(EXAMPLES) / 4
    for what in NOT_RUN:
        assert any(re.search(what, " ".join(one.arguments)) for one in skipped), what


def test_each_is_a_command_with_such_options(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    for page, _, arguments in EXAMPLES:
        size = 2 if " ".join(arguments[:2]) in COMMANDS else 1
        name = " ".join(arguments[:size])
        assert name in COMMANDS, page
        try:
            COMMANDS[name].make_context(
                name, list(arguments[size:]), help_option_names=["-h", "--help"]
            )
        except click.UsageError as error:
            pytest.fail(f"{page}: {arguments}: {error.format_message()}")


# The tour


def shell(project: Project, script: str) -> None:
    subprocess.run(
        ["sh", "-ec", script],
        cwd=project.root,
        env=project.variables(),
        check=True,
        timeout=60,
    )


def test_the_tour(project: Project) -> None:
    """Each command prints what the page shows, where `…` is anything."""
    (begin,) = re.findall("^```sh\n(.*?)^```", TOUR, re.M | re.S)
    shell(
        project, begin.split("\n", 1)[1]
    )  # in the folder of the test, and not in shop
    for block in re.findall("^```console\n(.*?)^```", TOUR, re.M | re.S):
        for step in re.split(r"^\$ ", block, flags=re.M)[1:]:
            line, _, expected = step.partition("\n")
            if not line.startswith("codx-index "):
                shell(project, line)
                continue
            done = project.command(*shlex.split(line)[1:])
            pattern = re.escape(expected).replace("…", ".*")
            assert re.fullmatch(pattern, done.stdout, re.S), (line, done)
            assert done.returncode == ("--check" in line), (line, done)


# The other pages


@pytest.fixture(scope="module")
def at_home(
    tmp_path_factory: pytest.TempPathFactory, model_cache: Path
) -> Callable[[str], Project]:
    """Projects in ~/src, of which the pages speak, and one below ~/projects."""
    home = tmp_path_factory.mktemp("home")
    cache = make_cache(home / "cache", model_cache)
    variables = {"HOME": str(home), "CODX_INDEX_YES": "1"}

    def project_of(name: str) -> Project:
        return Project(home / name, cache, variables)

    for name in (
        "src/shop",
        "src/billing",
        "src/lib",
        "src/api",
        "src/web",
        "projects/a",
    ):
        one = project_of(name)
        one.root.mkdir(parents=True)
        for path, text in SOURCES.items():
            one.write(path, f"# of {name}\n{text}" if path[-2:] == "py" else text)
        if name.startswith("projects"):
            one.write("codx-index.toml", "watching = true\n")
        one.git("init", "-q", "-b", "main")
        one.git("add", ".")
        one.git("commit", "-qm", "one")
        one.write(
            "src/new.py", "def parse_a_date_again():\n    return 'parse a date'\n"
        )
        one.git("add", ".")
        one.git("commit", "-qm", "two")
        one.git("update-ref", "refs/remotes/origin/main", "HEAD~1")
        one.write(
            "src/dates.py", SOURCES["src/dates.py"] + "\n# parse a date, or none\n"
        )
    shared = str(home / "shared.db")
    for name, project in (
        ("billing", "billing"),
        ("shop", "shop"),
        ("api", ""),
        ("web", ""),
    ):
        there = ("--uri", shared, "--shared-collection", "team", "--project", project)
        project_of(f"src/{name}").run(*(there if project else ()), "--mode", "sparse")
    return project_of


@pytest.mark.slow
@pytest.mark.parametrize("page", sorted({one.page for one in EXAMPLES}))
def test_the_commands_of_a_page_run(
    page: str, at_home: Callable[[str], Project]
) -> None:
    if page == "tour.md":
        pytest.skip("test_the_tour")
    shop = at_home("src/shop")
    home = shop.root.parents[1]
    shared = str(home / "shared.db")
    in_shared = page == "shared.md" or page == "search.md"
    for one in EXAMPLES:
        if one.page != page or one.reason_not_to_run:
            continue
        arguments = [SERVER.sub(shared, word) for word in one.arguments]
        arguments = [re.sub("^~/", f"{home}/", word) for word in arguments]
        run_example(shop, one, arguments, shared if in_shared else "")


def run_example(shop: Project, one: Example, arguments: list[str], shared: str) -> None:
    reads_shared = {"--all-projects", "--project"} & set(arguments)
    if shared and reads_shared and arguments[0] == "search":
        arguments += ["--uri", shared, "--shared-collection", "team"]
    given = b""
    if one.before:
        given = subprocess.run(
            shlex.split(one.before), cwd=shop.root, capture_output=True, check=True
        ).stdout
    if arguments[0] in ("search", "verify", "status"):
        shop.command("run")
    done = shop.command(*arguments, given=given)
    assert done.returncode == 0, (one, done)
