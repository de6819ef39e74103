"""What of a project's files is indexed as text, from the command's side."""

from __future__ import annotations

import base64
import json
import random
import textwrap

import pytest
from conftest import Project, assert_one_line

import indexer.index.identity

SPARSE = ("--mode", "sparse")
BYTES = random.Random(1).randbytes(150_000)
PICTURE = base64.b64encode(BYTES).decode()  # 200 kB
QUESTIONS = ("eta", "where is the efficiency computed", "letters of the Greek alphabet")
ANSWER = (
    "# the greek letter eta is the efficiency\ndef efficiency(a, b): return a / b\n"
)


def notebook(indent: int | None) -> str:
    plot = {"image/png": PICTURE, "text/plain": ["<Figure size 640x480>"]}
    cells = [
        {"cell_type": "markdown", "metadata": {}, "source": ["# Means of tables"]},
        {
            "cell_type": "code",
            "outputs": [{"output_type": "display_data", "data": plot}],
            "source": ["def mean_of(df):\n", "    return df.mean()\n"],
        },
    ]
    return json.dumps({"cells": cells, "nbformat": 4}, indent=indent)


def paths_of(project: Project, query: str, *arguments: str) -> list[str]:
    hits = project.report("search", *SPARSE, *arguments, query)["hits"]
    return [hit["path"] for hit in hits]


def test_pictures_in_notebooks(project: Project) -> None:
    texts = {"pretty.ipynb": notebook(1), "line.ipynb": notebook(None)}
    for name, text in texts.items():
        project.write(name, text)
    project.write("z.py", ANSWER)
    assert project.run(*SPARSE)["chunks"]["total"] == 5
    for question in QUESTIONS:
        assert paths_of(project, question) == ["z.py"]
    hits = project.report("search", *SPARSE, "-k", "2", "mean_of")["hits"]
    for hit in hits:
        assert hit["symbol"] == "cell 2.mean_of"
        assert hit["text"] == "def mean_of(df):\n    return df.mean()"
    assert {hit["path"] for hit in hits} == set(texts)
    # What is printed leads to the line of the file.
    shown = project.command("search", *SPARSE, "-k", "2", "-C", "1", "mean_of").stdout
    lines = [line.split(":", 2) for line in shown.splitlines() if ":" in line]
    best = [parts for parts in lines if parts[2] == "def mean_of(df):"]
    assert {path for path, _, _ in best} == set(texts)
    for path, number, code in best:
        assert code in texts[path].split("\n")[int(number) - 1]
        like = project.report("search", *SPARSE, "--like", f"{path}:{number}")["hits"]
        assert like[0]["path"] in texts


def test_data_in_files_of_any_kind(project: Project) -> None:
    lines = textwrap.wrap(PICTURE[:60_000], 76)
    text = "\n".join(['zebra = """', *lines, '"""', "", "giraffe = 1", ""])
    names = [f"logo.{ending}" for ending in "py json csv crt js svg txt".split()]
    for name in names:
        project.write(name, text)
    project.write("z.py", ANSWER)
    assert project.run(*SPARSE)["chunks"]["total"] <= 3 * len(names) + 1
    for question in QUESTIONS:
        assert paths_of(project, question) == ["z.py"]
    number = text.split("\n").index("giraffe = 1") + 1
    shown = project.command("search", *SPARSE, "giraffe").stdout
    rows = project.rows().values()
    for name in names:
        own = [
            (row["start_line"], row["end_line"]) for row in rows if row["path"] == name
        ]
        covered = {line for start, end in own for line in range(start, end + 1)}
        missing = {n for n, line in enumerate(text.split("\n"), 1) if line} - covered
        assert not missing
        assert f"{name}:{number}:giraffe = 1\n" in shown


def test_a_line_has_no_carriage_return(project: Project) -> None:
    lines = ["import os", "", "def win():", "    return 1", 'password = "hunter22x"']
    for name, ending in {"a": "\r\n", "b": "\r", "c": "\r\r\n"}.items():
        project.write(f"{name}.py", ending.join([*lines, ""]).encode())
    assert project.run(*SPARSE)["secrets"]["masked"] == 3
    rows = project.rows().values()
    assert len(rows) == 3 and not any("\r" in row["text"] for row in rows)
    shown = project.command("search", *SPARSE, "-C", "1", "win").stdout
    assert shown == "".join(
        f"{name}.py-2-\n{name}.py:3:def win():\n{name}.py-4-    return 1\n"
        for name in "abc"
    )
    for hit in project.report("search", *SPARSE, "-C", "9", "win")["hits"]:
        assert "\r" not in json.dumps(hit) and "\\r" not in json.dumps(hit)
    assert project.command("verify", *SPARSE).returncode == 0


def test_languages_in_the_settings(project: Project) -> None:
    project.write("a.inc", "<?php\nfunction greet() {\n  return 1;\n}\n")
    project.write("b.py", "x = 1\n")
    project.run(*SPARSE)
    languages = {row["path"]: row["language"] for row in project.rows().values()}
    assert languages == {"a.inc": "", "b.py": "python"}
    assert project.run(*SPARSE)["status"] == "unchanged"
    project.write("codx-index.toml", '[languages]\n".inc" = "php"\n"b.*" = "text"\n')
    assert project.command("status", "--check").returncode == 1
    assert project.run(*SPARSE)["status"] == "updated"
    rows = {row["path"]: row for row in project.rows().values()}
    assert rows["a.inc"]["language"] == "php"
    assert rows["b.py"]["language"] == ""
    assert paths_of(project, "greet", "-t", "php") == ["a.inc"]
    assert project.run(*SPARSE)["status"] == "unchanged"
    (shown,) = [
        line
        for line in project.command("config", "show").stdout.splitlines()
        if line.startswith("languages")
    ]
    assert ".inc=php b.*=text" in shown and "codx-index.toml: languages" in shown
    # An option counts more than the file.
    assert project.run(*SPARSE, "--languages", "*.inc=ruby")["status"] == "updated"
    rows = {row["path"]: row for row in project.rows().values()}
    assert rows["a.inc"]["language"] == "ruby"


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ('".inc" = "pyhton"', "languages: .inc: unknown language 'pyhton': did you mean python?"),
        ('".inc" = "qqqqqq"', "languages: .inc: unknown language 'qqqqqq' (text means none)"),
        ('".inc" = 3', "languages: '.inc' is not a string"),
        ('blade.php = "html"', "languages: 'blade' is not a string (a key with a dot needs quotes)"),
        ('"!a" = "html"', "languages: '!a' is neither an ending like .inc nor a pattern of paths"),
        ('"." = "html"', "languages: '.' is neither an ending like .inc nor a pattern of paths"),
    ],
)  # fmt: skip
def test_languages_that_cannot_be(table: str, said: str, project: Project) -> None:
    project.write("pyproject.toml", f"[tool.codx-index.languages]\n{table}\n")
    line = assert_one_line(project.command("run", *SPARSE), 2)
    assert f"{project.root}/pyproject.toml: tool.codx-index.{said}" in line
    (project.root / "pyproject.toml").unlink()
    project.write("codx-index.toml", "languages = 3\n")
    line = assert_one_line(project.command("run", *SPARSE), 2)
    assert "codx-index.toml: languages: not a table such as [languages]" in line


def test_an_option_of_languages_that_cannot_be(project: Project) -> None:
    for value in ("php", "=php", ".inc=", ".inc=phpp"):
        line = assert_one_line(project.command("run", *SPARSE, "--languages", value), 2)
        assert "--languages" in line
    assert "did you mean php?" in line


def test_data_and_translations_rank_behind_code(project: Project) -> None:
    text = "The turbine efficiency could not be computed"
    project.write("turbine.py", f'def fail():\n    raise ValueError("{text}")\n')
    for language in ("de", "fr", "es"):
        entry = f'#: turbine.py:2\nmsgid "{text}"\nmsgstr "{language}"\n'
        project.write(f"locale/{language}.po", f"{entry}\n{entry}\n{entry}")
        project.write(f"i18n/{language}.json", json.dumps({text: text}))
    project.write("sheet.csv", f"name,text\nturbine,{text}\nturbine,{text}\n")
    project.write("icon.svg", f"<svg>\n<title>{text}</title>\n</svg>\n")
    project.run(*SPARSE)
    hits = project.report("search", *SPARSE, "--explain", text)["hits"]
    assert len(hits) == 9 and hits[0]["path"] == "turbine.py"
    for hit in hits[1:]:
        reasons = [one["reason"] for one in hit["explanation"]["signals"]]
        assert "data, a picture or a translation" in reasons, hit["path"]
    # Who asks for the format means it.
    assert paths_of(project, f"csv {text}")[0] in ("sheet.csv", "turbine.py")


def test_an_index_of_an_earlier_version_is_replaced(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.write("a.py", "def one():\n    return 1\n")
    project.write("plots.ipynb", notebook(1))
    with monkeypatch.context() as earlier:
        earlier.setattr(indexer.index.identity, "CHUNKER_VERSION", 1)
        before = project.run()
    after = project.run()
    assert before["fingerprint"] != after["fingerprint"]
    assert after["status"] == "updated" and after["files"]["added"] == 2
    # Texts that are as they were come from the cache.
    assert after["chunks"]["embedded"] == 0 < after["chunks"]["cached"]
    assert project.command("verify").returncode == 0
