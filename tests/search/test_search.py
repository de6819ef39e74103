"""`codx-index search`: right answers, and answers while the index is being written."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import COMMAND, Project, assert_one_line, open_store, project_in
from searched import TEXTS

from indexer import Index
from indexer.milvus.store import HAS_VECTORS
from indexer.text.terms import query_weights


@pytest.fixture(scope="module")
def indexed(tmp_path_factory: pytest.TempPathFactory, model_cache: Path) -> Project:
    folder = tmp_path_factory.mktemp("search")
    made = project_in(folder, model_cache)
    for name, text in TEXTS.items():
        made.write(name, text)
    assert made.run()["status"] == "updated"
    return made


@pytest.mark.parametrize(
    "query, path",
    [
        ("how much sales tax is added to a price", "billing/tax.py"),
        ("try again when the network is down", "net/retry.py"),
        ("is the password correct", "auth/passwords.go"),
        ("how to publish a new version", "docs/release.md"),
    ],
)
def test_the_right_file_comes_first(query: str, path: str, indexed: Project) -> None:
    hits = indexed.report("search", query)["hits"]
    assert hits[0]["path"] == path
    scores = [hit["score"] for hit in hits]
    assert scores == sorted(scores, reverse=True)


def test_json(indexed: Project) -> None:
    answer = indexed.report("search", "vat", "-k", "2")
    assert answer.keys() == {"query", "mode", "good_match", "hits", "notes"}
    assert answer["good_match"] is True
    assert answer["query"] == "vat"
    assert len(answer["hits"]) == 2
    hit = answer["hits"][0]
    assert hit.pop("score") == 1  # it defines what is asked for
    assert hit == {
        "project": str(indexed.root),
        "path": "billing/tax.py",
        "start_line": 1,
        "end_line": 3,
        "symbol": "vat",
        "language": "python",
        "text": TEXTS["billing/tax.py"].rstrip("\n"),
        "line": 1,
        "line_text": TEXTS["billing/tax.py"].split("\n")[0],
        "stale": False,
    }


def test_for_people(indexed: Project) -> None:
    done = indexed.command("search", "password", "--limit", "1")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == (
        "auth/passwords.go:3:// CheckPassword compares a password with its bcrypt hash.\n"
    )


def test_from_a_subfolder(indexed: Project) -> None:
    inside = indexed.root / "billing"
    done = indexed.command("search", "password", "-k", "1", folder=inside)
    assert done.returncode == 0
    assert done.stdout.startswith("../auth/passwords.go:3:")
    line = indexed.command("search", "password", "-k", "1").stdout
    assert done.stdout == f"../{line}"  # as seen from there
    hits = indexed.report("search", "password", "docs")["hits"]
    assert {hit["path"] for hit in hits} == {"docs/release.md"}


def test_without_an_index(project: Project) -> None:
    done = project.command("search", "anything")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("codx-index: no index in ")
    assert "codx-index run" in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (project.root / ".codx").exists()
    assert project.report("search", "anything", code=1)["status"] == "failed"


@pytest.mark.parametrize("arguments", [[""], [" \n"], [], ["a", "--limit", "0"]])
def test_wrong_usage(arguments: list[str], indexed: Project) -> None:
    done = indexed.command("search", *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("codx-index: ")
    assert done.stderr.count("\n") == 1


def test_an_empty_index(project: Project) -> None:
    project.run()
    done = project.command("search", "anything")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "codx-index: no hits\n"
    answer = project.report("search", "anything", code=1)
    assert (answer["good_match"], answer["hits"]) == (False, [])


def test_while_another_process_has_the_database_open(indexed: Project) -> None:
    with open_store(indexed) as store:
        done = indexed.installed.command("search", "password", "-k", "1")
        assert store.count() == len(TEXTS)
    assert done.stdout.startswith("auth/passwords.go:3:")


def test_a_reader_that_has_enough(indexed: Project) -> None:
    process = subprocess.Popen(
        [COMMAND, "search", "password"],
        cwd=indexed.root,
        env=indexed.variables(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None and process.stderr is not None
    process.stdout.close()  # as `head` does, here before the first line
    errors = process.stderr.read()
    process.stderr.close()
    assert process.wait(timeout=60) == 141
    assert errors == b""


def test_it_leaves_the_index_as_it_was(indexed: Project) -> None:
    indexed.command("search", "password")
    report = indexed.run()
    assert report["status"] == "unchanged"
    assert report["files"]["read"] == 0


def test_hits_do_not_steer_the_terminal(project: Project) -> None:
    project.write("a\x1b[31m.py", "x = '\x1b[2J cleared \u202e'\n")
    project.run()
    done = project.command("search", "cleared")
    assert done.returncode == 0
    assert "\\u001b[31m.py:1:" in done.stdout and "\\u202e" in done.stdout
    assert "\x1b" not in done.stdout and "\u202e" not in done.stdout
    raw = json.loads(project.command("search", "cleared", "--json").stdout)
    assert raw["hits"][0]["text"] == "x = '\x1b[2J cleared \u202e'"


# How it is asked


ODD = {
    "10,000 words": "password " + "lorem ipsum dolor " * 3_333,
    "a long word": "x" * 10_000,
    "only stop words": "how is it that the",
    "code": 'return bcrypt.CompareHashAndPassword([]byte(hash), []byte("")) == nil',
    "another script": "\u043f\u0430\u0440\u043e\u043b\u044c \u5bc6\u7801",
    "quotes": 'it\'s a "password" \\ \\" \' or 1 == 1 or "',
    "a filter": 'language == "go" or id != ""',
    "a path": "auth/passwords.go",
    "controls": "pass\x01word\x7f \ufffe",
    "punctuation": "(){}[];:,.<>!?*&^%$#@~`|/",
    "an emoji": "\U0001f511",
    "bytes": "caf\udce9 password",
    "lines": "def vat(net, rate):\n    return net\n",
}


@pytest.mark.parametrize("mode", ["hybrid", "dense", "sparse"])
@pytest.mark.parametrize("query", ODD.values(), ids=ODD.keys())
def test_odd_queries(query: str, mode: str, index: Index) -> None:
    hits = index.search(query, mode=mode)
    assert len(hits) <= len(TEXTS)
    if mode != "sparse":
        assert len(hits) == len(TEXTS)
    elif not hits:
        assert not query_weights(query) or query in map(ODD.get, HOPELESS)
    if query == ODD["a path"]:
        assert hits[0].path == query


@pytest.fixture(scope="module")
def index(indexed: Project) -> Iterator[Index]:
    """The same index as the command asks, kept open: it answers at once."""
    folder = str(indexed.cache_dir)
    with Index.open(str(indexed.root), cache_dir=folder) as opened:
        yield opened


@pytest.mark.parametrize("name", ["10,000 words", "bytes", "quotes"])
def test_odd_queries_of_the_command(name: str, indexed: Project) -> None:
    assert len(indexed.report("search", ODD[name])["hits"]) == len(TEXTS)


HOPELESS = (
    "a long word",
    "another script",
    "an emoji",
    "controls",
)  # no file has their words


def test_a_query_of_stop_words_says_so(indexed: Project) -> None:
    done = indexed.command("search", ODD["only stop words"], "--mode", "sparse")
    assert done.returncode == 1 and done.stdout == ""
    assert "no words that distinguish files" in done.stderr


@pytest.mark.parametrize("mode", ["hybrid", "dense", "sparse"])
def test_each_mode_finds(mode: str, index: Index) -> None:
    hits = index.search("CheckPassword", mode=mode)
    assert hits[0].path == "auth/passwords.go"


def test_explain(indexed: Project) -> None:
    (hit,) = indexed.report("search", "CheckPassword", "-k", "1", "--explain")["hits"]
    about = hit["explanation"]
    assert about["sparse"]["rank"] == 1 and about["dense"]["rank"] == 1
    assert [one["reason"] for one in about["signals"]][-1] == "defines CheckPassword"
    score = about["match"]
    for signal in about["signals"]:
        score += signal["amount"]
    assert about["points"] == pytest.approx(score, abs=1e-3)
    shown = indexed.command("search", "CheckPassword", "-k", "1", "--explain").stdout
    assert "    + 3.00 defines CheckPassword\n" in shown
    assert "explanation" not in indexed.report("search", "CheckPassword")["hits"][0]


@pytest.mark.parametrize(
    "language, paths, expected",
    [
        ("go", [], {"auth/passwords.go"}),
        ("py", [], {"billing/tax.py", "net/retry.py"}),
        (".md", [], {"docs/release.md"}),
        ("", ["*.py"], {"billing/tax.py", "net/retry.py"}),
        ("", ["net/"], {"net/retry.py"}),
        ("", ["/net/re*.py"], {"net/retry.py"}),
        ("", ["*.py", "!net/"], {"billing/tax.py"}),
        ("go", ["*.py"], set()),
        ("", ['a" or id != "'], set()),
    ],
)
def test_a_scope(
    language: str, paths: list[str], expected: set[str], index: Index
) -> None:
    hits = index.search("password tax", language=language, paths=paths)
    assert {hit.path for hit in hits} == expected


def test_a_scope_of_the_command(indexed: Project) -> None:
    scope = ["-t", "py", "--path", "*.py", "--path", "!net/"]
    hits = indexed.report("search", "password tax", *scope)["hits"]
    assert [hit["path"] for hit in hits] == ["billing/tax.py"]


def test_a_scope_of_few_among_many(project: Project) -> None:
    """What Milvus cannot tell is compared here, on more and more rows."""
    for number in range(400):
        project.write(f"many/password{number}.py", f"password = check({number})\n")
    project.write("zz/other.py", "tax = 1\n")
    project.run("--mode", "sparse")
    found = project.report("search", "check password tax", "--path", "other.*")
    assert [hit["path"] for hit in found["hits"]] == ["zz/other.py"]
    found = project.report("search", "password", "-k", "300")
    assert len(found["hits"]) == 300


def test_a_language_that_is_not_known(indexed: Project) -> None:
    done = indexed.command("search", "x", "--language", "pyton")
    assert "did you mean python" in assert_one_line(done, 2)


def test_grep_form_with_context(indexed: Project) -> None:
    done = indexed.command("search", "attempts ConnectionError", "-k", "1", "-C", "1")
    assert done.stdout.splitlines() == [
        "net/retry.py-8-            return fetch()",
        "net/retry.py:9:        except ConnectionError:",
        "net/retry.py-10-            time.sleep(2**attempt)",
    ]


def test_context_reaches_into_other_chunks(project: Project) -> None:
    functions = [
        f"def f{n}(x):\n" + f"    x = x * {n} + call_{n}(x)\n" * 12 for n in range(20)
    ]
    text = "\n\n".join(functions)
    project.write("a.py", text)
    project.run("--mode", "sparse")
    (hit,) = project.report("search", "call_9", "-C", "40", "-k", "1")["hits"]
    lines = text.split("\n")
    first, last = hit["start_line"], hit["end_line"]
    assert hit["text"] == "\n".join(lines[first - 1 : last])
    assert hit["before"] == "\n".join(lines[first - 41 : first - 1])
    assert hit["after"] == "\n".join(lines[last : last + 40])


def test_at_a_terminal(indexed: Project) -> None:
    shown = at_terminal(indexed, "search", "CheckPassword", "-k", "1")
    assert "auth/passwords.go:4" in shown and "\x1b[" in shown
    assert "func" in shown and "CheckPassword" in shown
    bare = at_terminal(indexed, "search", "CheckPassword", "-k", "1", NO_COLOR="1")
    assert "    4 func CheckPassword(hash, password string) bool {" in re.sub(
        r"\x1b\[[0-9;]*m", "", bare
    )


def at_terminal(project: Project, *arguments: str, **more: str) -> str:
    """What a command writes to a terminal."""
    done = subprocess.run(
        ["script", "-qec", shlex.join([COMMAND, *arguments]), "/dev/null"],
        cwd=project.root,
        env=project.variables() | {"TERM": "xterm"} | more,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def test_like_a_place(indexed: Project) -> None:
    indexed.write("copy/again.py", TEXTS["net/retry.py"].replace("fetch", "load"))
    indexed.run()
    try:
        answer = indexed.report("search", "--like", "net/retry.py:7", "-k", "2")
        assert answer["like"] == "net/retry.py:7"
        assert answer["hits"][0]["path"] == "copy/again.py"
        assert "net/retry.py" not in {hit["path"] for hit in answer["hits"]}
        in_part = indexed.report("search", "--like", "net/retry.py:7", "docs")
        assert {hit["path"] for hit in in_part["hits"]} == {"docs/release.md"}
    finally:
        (indexed.root / "copy/again.py").unlink()
        indexed.run()


@pytest.mark.parametrize(
    "place, message",
    [
        ("nowhere.py:1", "nowhere.py is not in the index"),
        ("net/retry.py:900", "has no line 900 in the index"),
        ("net/retry.py", "not a place like"),
        ("net/retry.py:x", "not a place like"),
    ],
)
def test_like_no_place(place: str, message: str, indexed: Project) -> None:
    assert message in assert_one_line(indexed.command("search", "--like", place), 2)


def test_several_projects(indexed: Project, tmp_path: Path, model_cache: Path) -> None:
    other = project_in(tmp_path, model_cache)
    other.write("login.py", "def check_password(user):\n    return user.hash\n")
    other.run()
    both = ["search", "password check", str(indexed.root), str(other.root)]
    hits = indexed.report(*both)["hits"]
    assert {hit["project"] for hit in hits} == {str(indexed.root), str(other.root)}
    assert len(hits) == len(TEXTS) + 1
    lines = indexed.command(*both, "-k", "2").stdout.splitlines()
    assert f"{other.root}/login.py:1:def check_password(user):" in lines
    once = indexed.report("search", "password", ".", str(indexed.root))["hits"]
    assert len(once) == len(TEXTS)
    # The settings of each project count for it alone.
    other.write("codx-index.toml", 'collection = "other"\n')
    other.run()
    assert indexed.report(*both)["hits"][0]["path"] == hits[0]["path"]
    done = indexed.command("search", "password", ".", str(tmp_path / "none"))
    assert "no such folder" in assert_one_line(done, 2)


def test_a_remark_when_the_index_is_behind(project: Project) -> None:
    project.write("a.py", "password = 1\n")
    project.git("init")
    project.git("add", ".")
    time.sleep(0.05)
    project.run()
    assert project.report("search", "password")["notes"] == []
    project.write("b.py", "password = 2\n")
    done = project.command("search", "password")
    assert done.returncode == 0 and done.stdout.startswith("a.py:1:")
    assert "files have changed since the last run" in done.stderr
    project.run()
    assert project.report("search", "password")["notes"] == []


def test_a_remark_outside_of_git(project: Project) -> None:
    project.write("a.py", "password = 1\n")
    project.run()
    assert project.report("search", "password")["notes"] == []
    project.write("a.py", "password = 12\n")
    assert project.report("search", "password")["notes"]


def test_an_index_of_the_schema_before(indexed: Project, tmp_path: Path) -> None:
    """Rows without the newer fields are found by meaning."""
    from pymilvus import DataType, MilvusClient

    # Another test's index may still be open, so it has a socket.
    ignored = shutil.ignore_patterns("s:*")
    shutil.copytree(indexed.root, tmp_path / "old", symlinks=True, ignore=ignored)
    old = Project(tmp_path / "old", indexed.cache_dir)
    with open_store(old) as store:
        properties = store.open()
        del properties["codx.sparse"], properties[HAS_VECTORS]
        rows = store.fetch([key.id for key in store.keys()])
        client = store._client
        schema = MilvusClient.create_schema(auto_id=False)
        for field in client.describe_collection("codx_index")["fields"]:
            if field["name"] not in ("sparse", "embedded"):
                kind = DataType(field["type"])
                schema.add_field(
                    field["name"],
                    kind,
                    is_primary=field["name"] == "id",
                    **field.get("params", {}),
                )
        params = client.prepare_index_params()
        params.add_index("vector", index_type="FLAT", metric_type="COSINE")
        client.create_collection(
            "codx_index__00000000",
            schema=schema,
            index_params=params,
            properties=properties,
        )
        kept = [
            {k: v for k, v in row.items() if k not in ("sparse", "embedded")}
            for row in rows
        ]
        client.insert("codx_index__00000000", kept)
        client.alter_alias("codx_index__00000000", "codx_index")
        client.drop_collection(store.physical)
    answer = old.report("search", "is the password correct")
    assert answer["hits"][0]["path"] == "auth/passwords.go"
    assert any("nothing is found by words" in note for note in answer["notes"])
    report = old.run()
    assert report["chunks"]["embedded"] == 0  # the vectors come from the cache
    assert report["chunks"]["upserted"] == len(rows)
    assert old.report("search", "CheckPassword", "--mode", "sparse")["hits"]
