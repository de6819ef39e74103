"""Which variables count, and which are somebody else's: docs/reference/environment.md."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import click
import pytest
from conftest import Project
from every_command import COMMANDS
from milvus_server import served

from indexer.address import Address, is_loopback
from indexer.cli.main import cli
from indexer.cli.variables import OTHERS, known_variables
from indexer.config import NO_FOLDER
from indexer.environment import given, hidden, set_for_libraries
from indexer.errors import UsageError
from indexer.hooks.command import _environment as environment_of_hooks
from indexer.milvus.internals import silence
from indexer.settings.command import setting_options
from indexer.settings.folders import cache_folder
from indexer.settings.setting import Form, Setting
from indexer.tree.git import work_tree

PAGE = Path(__file__).parents[1] / "docs" / "reference" / "environment.md"


@pytest.fixture
def sparse(project: Project) -> Project:
    project.write("a.py", "def add(a, b):\n    return a + b\n")
    project.environment["CODX_INDEX_MODE"] = "sparse"
    project.environment["CODX_INDEX_EXECUTOR"] = "serial"
    return project


# --- what libraries see, and what programs get -----------------------------------------


def test_hidden_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THEIRS_A", "1")
    monkeypatch.setenv("OURS", "2")
    with pytest.raises(KeyError), hidden(lambda name: name.startswith("THEIRS")):
        assert "THEIRS_A" not in os.environ and os.environ["OURS"] == "2"
        assert "THEIRS_A" not in subprocess.check_output(["env"], text=True)
        raise KeyError
    assert os.environ["THEIRS_A"] == "1"


def test_programs_get_the_environment_that_we_got(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("BEFORE", "theirs")
    monkeypatch.delenv("NEW", raising=False)
    set_for_libraries("BEFORE", "ours")
    set_for_libraries("BEFORE", "ours")
    set_for_libraries("NEW", "ours")
    assert (os.environ["BEFORE"], os.environ["NEW"]) == ("ours", "ours")
    assert given()["BEFORE"] == "theirs" and "NEW" not in given()
    monkeypatch.delenv("NEW")
    silence()
    ours = {"PYTHON_DOTENV_DISABLED", "PYTHONSAFEPATH", "ARROW_DEFAULT_MEMORY_POOL"}
    assert not ours & environment_of_hooks().keys()


def test_who_sets_a_variable_does_not_wait_for_an_import(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("NEW", raising=False)
    with hidden(lambda name: False):
        other = Thread(target=set_for_libraries, args=("NEW", "ours"))
        other.start()
        other.join(timeout=10)
        assert not other.is_alive() and os.environ["NEW"] == "ours"
    assert "NEW" not in given()
    monkeypatch.delenv("NEW")


def test_what_a_program_gets_does_not_wait_for_an_import(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nor does it lack what is hidden from the library at that moment."""
    monkeypatch.setenv("THEIRS_A", "1")
    got: list[dict[str, str]] = []
    with hidden(lambda name: name == "THEIRS_A"):
        other = Thread(target=lambda: got.append(given()), daemon=True)
        other.start()
        other.join(timeout=10)
        assert got and got[0]["THEIRS_A"] == "1" and "THEIRS_A" not in os.environ
    assert given()["THEIRS_A"] == os.environ["THEIRS_A"] == "1"


# --- pymilvus and proxies --------------------------------------------------------------


def test_variables_of_other_programs_with_pymilvus(sparse: Project) -> None:
    sparse.environment |= {
        "MILVUS_URI": "./milvus_demo.db",
        "MILVUS_DEFAULT_CONNECTION": "nonsense",
        "MILVUS_CONN_TIMEOUT": "soon",
        "MILVUS_CONN_ALIAS": "",
        "MILVUS_LITE_WAL_SIZE_LIMIT_BYTES": "much",
        "MILVUS_LITE_MEMTABLE_MEMORY_LIMIT_BYTES": "0",
        "ARROW_DEFAULT_MEMORY_POOL": "nonsense",
    }
    done = sparse.installed.command("run")
    assert (done.returncode, done.stderr) == (0, "")
    assert not (sparse.root / "milvus_demo.db").exists()
    assert len(sparse.rows()) == 1


@pytest.mark.parametrize(
    "address, is_here",
    [
        ("http://127.0.0.1:19530", True),
        ("http://user:pass@localhost:19530", True),
        ("https://LOCALHOST.", True),
        ("http://milvus.localhost:1/db?x=y", True),
        ("http://127.1:1", True),
        ("http://[::1]:19530", True),
        ("http://[::ffff:127.0.0.1]:19530", True),
        ("tcp://127.8.8.8:1", True),
        ("unix:/run/milvus", True),
        ("http://localhost.example.org", False),
        ("http://127.0.0.1.example.org", False),
        ("http://localhost:pass@example.org:1", False),
        ("http://example.org/localhost", False),
        ("http://10.0.0.1", False),
        ("http://[fe80::1]:1", False),
        ("", False),
    ],
)
def test_addresses_of_this_machine(address: str, is_here: bool) -> None:
    assert Address(address).is_loopback == is_here


def test_hosts_of_this_machine() -> None:
    assert (
        is_loopback("::1") and not is_loopback("::11") and not is_loopback("1270.0.1")
    )


NOWHERE = {
    name: "http://127.0.0.1:1"
    for name in ("http_proxy", "https_proxy", "grpc_proxy", "HTTPS_PROXY", "ALL_PROXY")
} | {"HTTP_PROXY": "nonsense"}


def test_no_proxy_is_asked_for_a_server_on_this_machine(
    sparse: Project, tmp_path: Path
) -> None:
    (tmp_path / "served").mkdir()
    sparse.environment |= NOWHERE
    with served(tmp_path / "served") as (uri, _):
        sparse.environment["CODX_INDEX_URI"] = uri
        with listener() as (url, bodies):
            done = sparse.installed.command("run", "--webhook", url)
    assert (done.returncode, done.stderr) == (0, "")
    assert b"run-finished" in b"".join(bodies)


@contextmanager
def listener() -> Iterator[tuple[str, list[bytes]]]:
    """A webhook on this machine, and what it gets."""
    bodies: list[bytes] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:  # noqa: N802  (its name is given)
            bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/", bodies
        server.shutdown()


# --- git -------------------------------------------------------------------------------


def listed(project: Project, **variables: str) -> set[str]:
    environment = {**project.environment, **variables}
    seen = Project(project.root, project.cache_dir, environment)
    plan = seen.report("run", "--dry-run")["plan"]
    return {*plan["added"], *plan["modified"]}


def test_the_configuration_of_the_user_counts(sparse: Project, tmp_path: Path) -> None:
    sparse.write("notes.txt", "left out by the user\n")
    rules = tmp_path / "rules"
    rules.write_text("notes.txt\n")
    settings = tmp_path / "gitconfig"
    settings.write_text(f"[core]\nexcludesFile = {rules}\n")
    assert listed(sparse) == {"a.py", "notes.txt"}
    for variables in (
        {"GIT_CONFIG_GLOBAL": str(settings)},
        {"GIT_CONFIG_SYSTEM": str(settings), "GIT_CONFIG_NOSYSTEM": "0"},
        {
            "GIT_CONFIG_COUNT": "1",
            "GIT_CONFIG_KEY_0": "core.excludesFile",
            "GIT_CONFIG_VALUE_0": str(rules),
        },
        {"GIT_CONFIG_PARAMETERS": f"'core.excludesFile={rules}'"},
    ):
        assert listed(sparse, **variables) == {"a.py"}, variables


def test_configuration_in_the_environment_that_cannot_be(sparse: Project) -> None:
    sparse.environment["GIT_CONFIG_COUNT"] = "many"
    done = sparse.command("run")
    assert done.returncode == 1
    assert "GIT_CONFIG_COUNT" in done.stderr and done.stderr.count("\n") == 1


def test_the_configuration_of_the_user_runs_nothing(
    sparse: Project, tmp_path: Path
) -> None:
    """What would run a program is switched off, wherever it is set."""
    canary = tmp_path / "canary"
    keys = ("core.fsmonitor", "core.hooksPath", "filter.x.clean")
    sparse.environment["GIT_CONFIG_COUNT"] = str(len(keys))
    for number, key in enumerate(keys):
        sparse.environment[f"GIT_CONFIG_KEY_{number}"] = key
        sparse.environment[f"GIT_CONFIG_VALUE_{number}"] = f"touch {canary}"
    sparse.write(".gitattributes", "* filter=x\n")
    assert sparse.run()["status"] == "updated"
    assert not canary.exists()


def test_the_repository_of_our_caller_does_not_count(sparse: Project) -> None:
    """As in a hook of git, which sets some of them, in or about another repository."""
    names = subprocess.run(
        ["git", "rev-parse", "--local-env-vars"], capture_output=True, text=True
    ).stdout.split()
    counting = {"GIT_CONFIG_PARAMETERS", "GIT_CONFIG_COUNT"}
    theirs = {name: "/no/such" for name in names if name not in counting}
    assert {"GIT_DIR", "GIT_INDEX_FILE", "GIT_WORK_TREE"} <= theirs.keys()
    theirs |= {
        "GIT_LITERAL_PATHSPECS": "1",
        "GIT_ICASE_PATHSPECS": "1",
        "GIT_TRACE": "1",
        "GIT_TRACE2": "1",
        "GIT_EXEC_PATH": "/no/such",
        "GIT_ATTR_SOURCE": "no-such-tree",
        "GIT_PAGER": "/no/such",
    }
    report = sparse.run()
    sparse.environment |= theirs
    assert (report["status"], sparse.run()["status"]) == ("updated", "unchanged")
    assert sparse.run("--force")["files"]["modified"] == 1


def test_ceilings_are_those_of_git(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    top = tmp_path / "top"
    inner = top / "a" / "b"
    inner.mkdir(parents=True)
    (tmp_path / "link").symlink_to(top)
    subprocess.run(["git", "init", "-q", str(top)], check=True)
    for ceilings in (
        "",
        f"{top}",
        f"{top}/",
        f"{top}/a",
        f"{inner}",
        f"{tmp_path}",
        "/",
        "top",
        f"/no/such:{top}",
        f":{top}",
        f"{tmp_path}/link",
        f":{tmp_path}/link",
        f"{tmp_path}/link/a::/no",
        f"{top}/a/../a",
    ):
        monkeypatch.setenv("GIT_CEILING_DIRECTORIES", ceilings)
        for folder in (top, top / "a", inner, tmp_path / "link" / "a"):
            asked = ["git", "-C", os.path.realpath(folder), "rev-parse"]
            is_found = subprocess.run(asked, capture_output=True).returncode == 0
            assert (work_tree(str(folder)) is not None) == is_found, (ceilings, folder)


def test_a_new_ceiling_is_noticed(project: Project) -> None:
    project.write(".gitignore", "ignored.py\n")
    project.write("sub/ignored.py", "x = 1\n")
    project.write("sub/a.py", "y = 1\n")
    inner = Project(project.root / "sub", project.cache_dir, project.environment)
    project.environment |= {
        "CODX_INDEX_MODE": "sparse",
        "CODX_INDEX_EXECUTOR": "serial",
    }
    for ceiling, expected in (("", 1), (str(project.root), 2), ("", 1)):
        project.environment["GIT_CEILING_DIRECTORIES"] = ceiling
        for _ in range(2):
            report = inner.run("--here")
        assert report["files"]["unchanged"] == expected, report


# --- no home folder --------------------------------------------------------------------


@pytest.fixture
def homeless(monkeypatch: pytest.MonkeyPatch) -> None:
    import pwd

    def missing(user: object) -> object:
        raise KeyError(user)

    monkeypatch.setattr(pwd, "getpwuid", missing)
    monkeypatch.setattr(pwd, "getpwnam", missing)
    for name in ("HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)


def without_home(project: Project) -> Project:
    made = Project(project.root, project.cache_dir, project.environment)
    real = made.variables

    def variables() -> dict[str, str]:
        gone = ("HOME", "XDG_CACHE_HOME", "CODX_INDEX_CACHE_DIR")
        return {name: value for name, value in real().items() if name not in gone}

    made.variables = variables  # type: ignore[method-assign]
    return made


@pytest.mark.usefixtures("homeless")
def test_no_home_and_no_user(sparse: Project) -> None:
    assert cache_folder("") == NO_FOLDER
    with pytest.raises(UsageError, match="~/cache is in an unknown home folder"):
        cache_folder("~/cache")
    project = without_home(sparse)
    assert project.run()["status"] == "updated"
    done = project.command("search", "add")
    assert (done.returncode, done.stdout) == (0, "a.py:1:def add(a, b):\n")
    done = project.command("cache", "info")
    assert done.returncode == 1
    assert done.stderr.startswith("codx-index: no home folder is known: ")
    assert sorted(os.listdir(sparse.root)) == [".codx", ".git", "a.py"]


@pytest.mark.slow  # for it converts the model
@pytest.mark.usefixtures("homeless")
def test_a_run_with_a_model_and_no_home(sparse: Project) -> None:
    sparse.environment["CODX_INDEX_MODE"] = "hybrid"
    done = without_home(sparse).command("run")
    assert done.returncode == 0
    assert "without an embedding cache, because no home folder is known" in done.stderr


# --- Python ----------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize(
    "variables",
    [
        {"PYTHONWARNINGS": "error"},
        {"PYTHONWARNINGS": "default", "PYTHONASYNCIODEBUG": "1"},
        {"PYTHONDEVMODE": "1"},
        {"PYTHONOPTIMIZE": "2"},
        {"PYTHONUNBUFFERED": "1", "PYTHONHASHSEED": "7"},
    ],
)
def test_variables_of_python_for_developers(
    variables: dict[str, str], sparse: Project
) -> None:
    sparse.environment |= {**variables, "CODX_INDEX_EXECUTOR": "process"}
    done = sparse.installed.command("run", "-j", "2")
    assert (done.returncode, done.stderr) == (0, "")
    done = sparse.installed.command("search", "add")
    assert (done.stdout, done.stderr) == ("a.py:1:def add(a, b):\n", "")


# --- ours ------------------------------------------------------------------------------


ARGUMENTS = {
    "run-all": ["."],
    "search": ["x"],
    "cache export": ["f"],
    "cache import": ["f"],
    "export": ["f"],
    "completion": ["bash"],
    "worker": ["dask://127.0.0.1:9"],
}


# The kinds of values of which any text may be one.
FREE = "StringParamType Path Folder Pattern LanguageName CommandLine".split()


def settings_of(command: click.Command) -> list[Setting]:
    return [one.setting for one in setting_options(command) if one.setting.has_variable]


def can_be_wrong(setting: Setting) -> bool:
    return setting.form is not Form.LIST and (
        setting.form is not Form.VALUE or type(setting.kind).__name__ not in FREE
    )


def parse(name: str) -> None:
    # click keeps the first answer to what the option of the help is called.
    arguments = [*ARGUMENTS.get(name, [])]
    COMMANDS[name].make_context(name, arguments, **cli.context_settings)


@pytest.mark.parametrize("name", COMMANDS)
def test_a_bad_value_is_named(
    name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    for variable in known_variables():
        monkeypatch.delenv(variable, raising=False)
    for setting in settings_of(COMMANDS[name]):
        if can_be_wrong(setting):
            with monkeypatch.context() as patch:
                patch.setenv(setting.variable, "nonsense")
                with pytest.raises(click.UsageError) as raised:
                    parse(name)
                assert setting.variable in raised.value.format_message()
                assert raised.value.exit_code == 2
                patch.setenv(setting.variable, "")
                parse(name)


@pytest.mark.parametrize("name", COMMANDS)
def test_a_variable_belongs_to_the_commands_with_its_option(
    name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    own = {one.variable for one in settings_of(COMMANDS[name])}
    for variable in known_variables() - own - OTHERS:
        monkeypatch.setenv(variable, "nonsense")
    for variable in own:
        monkeypatch.delenv(variable, raising=False)
    parse(name)


def test_force_overwrites_no_file(sparse: Project) -> None:
    sparse.write("codx-index.toml", "# mine\n")
    sparse.environment["CODX_INDEX_FORCE"] = "1"
    done = sparse.command("init")
    assert done.returncode == 2 and "already exists" in done.stderr
    assert (sparse.root / "codx-index.toml").read_text() == "# mine\n"
    assert "CODX_INDEX_FORCE" not in sparse.command("init", "--help").stdout
    assert sparse.run()["files"]["added"] == 2
    assert sparse.run()["files"]["modified"] == 2  # it is for `run`


def test_a_mode_for_searches_does_not_break_a_run(sparse: Project) -> None:
    sparse.write("codx-index.toml", 'mode = "sparse"\n')
    sparse.environment["CODX_INDEX_MODE"] = "dense"
    assert sparse.run()["chunks"]["unembedded"] == 2
    assert sparse.report("search", "add", code=1)["mode"] == "dense"
    assert sparse.command("config", "show").returncode == 0


@pytest.mark.parametrize(
    "variable, value, command",
    [
        ("CODX_INDEX_COLLECTION", "9a", "status"),
        ("CODX_INDEX_URI", "ftp://x", "status"),
        ("CODX_INDEX_URI", "ftp://x", "search x"),
        ("CODX_INDEX_EVENTS", "fd:77", "run"),
        ("CODX_INDEX_WEBHOOK", "nonsense", "run"),
        ("CODX_INDEX_LANGUAGE", "klingon", "search x"),
        ("CODX_INDEX_PATH", "!", "search x"),
        ("CODX_INDEX_DEVICE", "tpu", "status"),
        ("CODX_INDEX_BACKEND", "abacus", "status"),
    ],
)
def test_a_value_that_turns_out_to_be_bad_is_named(
    variable: str, value: str, command: str, sparse: Project
) -> None:
    sparse.environment[variable] = value
    done = sparse.command(*command.split())
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr.startswith(f"codx-index: {variable}")
    assert done.stderr.count("\n") == 1


def warnings_of(project: Project, *arguments: str, **variables: str) -> list[str]:
    environment = {**project.environment, **variables}
    done = Project(project.root, project.cache_dir, environment).command(*arguments)
    return [line for line in done.stderr.splitlines() if "not read by" in line]


@pytest.mark.parametrize(
    "name, advice",
    [
        ("COLECTION", "is it CODX_INDEX_COLLECTION?"),
        ("MAXSECONDS", "is it CODX_INDEX_MAX_SECONDS?"),
        ("NO_GIT", "is it CODX_INDEX_GIT=0?"),
        ("WIKI_ENABLED", "is it CODX_INDEX_WIKI?"),
        ("DEVICES", "is it CODX_INDEX_DEVICE?"),
        ("QQQQQQ", "docs/reference/settings.md lists the variables"),
    ],
)
def test_an_unknown_variable_is_warned_about(
    name: str, advice: str, sparse: Project
) -> None:
    name = f"CODX_INDEX_{name}"
    said = warnings_of(sparse, "config", "show", **{name: "s3cret"})
    assert said == [f"codx-index: {name} is not read by any command: {advice}"]


def test_when_unknown_variables_are_warned_about(sparse: Project) -> None:
    unknown = {"CODX_INDEX_JOB": "3", "codx_index_uri": "x"}
    assert len(warnings_of(sparse, "run", **unknown)) == 2
    assert len(warnings_of(sparse, "verify", "--repair", **unknown)) == 2
    assert warnings_of(sparse, "run", "--quiet", **unknown) == []
    line, _ = warnings_of(sparse, "run", "--log-format", "json", **unknown)
    assert json.loads(line)["level"] == "warning"
    known = {variable: "1" for variable in OTHERS}
    for one in ("CRASH_SEED", "FUZZ_STEPS", "READS", "SEED_ROUNDS"):
        known[f"CODX_INDEX_{one}"] = "1"
    assert warnings_of(sparse, "config", "show", **known) == []
    done = sparse.report("status")
    assert done["exit_code"] == 0


def test_every_variable_of_an_option_is_known() -> None:
    shown = {
        one.variable for command in COMMANDS.values() for one in settings_of(command)
    }
    assert shown | OTHERS == known_variables()


def test_a_variable_for_completion_that_cannot_be(sparse: Project) -> None:
    sparse.environment["_CODX_INDEX_COMPLETE"] = "nonsense"
    done = sparse.command("status")
    assert done.returncode == 2
    assert done.stderr.startswith(
        "codx-index: _CODX_INDEX_COMPLETE is not a value such as bash_source"
    )


# --- the page --------------------------------------------------------------------------


def test_the_page_names_what_the_code_does() -> None:
    page = PAGE.read_text(encoding="utf-8")
    folder = Path(__file__).parents[1] / "indexer"
    named = set()
    for path in folder.glob("**/*.py"):
        text = path.read_text(encoding="utf-8")
        named |= set(re.findall(r'set_for_libraries\(\s*"(\w+)"', text))
        named |= set(re.findall(r'os\.environ\.get\(\s*"(\w+)"', text))
        named |= set(re.findall(r'os\.environ\["(\w+)"\]', text))
    assert {"NO_COLOR", "TERM", "PYTHONWARNINGS", "GRPC_VERBOSITY"} <= named
    missing = {name for name in named if name not in page}
    assert not {one for one in missing if not one.startswith("CODX_INDEX_")}
