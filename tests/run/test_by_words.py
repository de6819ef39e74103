"""Files that are found by words alone: which rows have a vector, and what changes that."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from comparisons import comparable
from conftest import Project

from indexer.config import DEFAULT_MODEL, Settings
from indexer.search.answers import Wanted
from indexer.search.searcher import Searcher, search

PO = 'msgid "good morning"\nmsgstr "guten Morgen"\n'
CODE = "def greet(name):\n    return name\n"
CSV = "name,age\nanna,3\n"


@pytest.fixture
def mixed(project: Project) -> Project:
    """A project with a source, a translation and a table; in git, so that runs are stamped."""
    project.git("init", "-q")
    project.write("a.py", CODE)
    project.write("locale/de/app.po", PO)
    project.write("cities.csv", CSV)
    project.run()
    return project


def embedded(project: Project) -> dict[str, bool]:
    return {row["path"]: row["embedded"] for row in project.rows().values()}


def counts(report: dict[str, Any]) -> tuple[int, int, int]:
    """Files and chunks that are to be found by words alone, and chunks that lack a vector."""
    chunks = report["chunks"]
    return report["files"]["by_words"], chunks["by_words"], chunks["unembedded"]


def assert_settled(project: Project, *options: str) -> None:
    """There is nothing more to do, and nothing is read for that."""
    report = project.run(*options)
    assert (report["status"], report["files"]["read"]) == ("unchanged", 0)
    assert project.report("status", *options)["up_to_date"]
    assert project.command("verify", *options).returncode == 0


def test_a_translation_is_found_by_its_words(mixed: Project) -> None:
    assert embedded(mixed) == {
        "a.py": True,
        "locale/de/app.po": False,
        "cities.csv": False,
    }
    report = mixed.run()
    assert report["status"] == "unchanged" and counts(report) == (2, 2, 0)
    assert_settled(mixed)
    shown = mixed.command("status").stdout
    assert "3 chunks, 2 (of 2 files) found by words alone on purpose" in shown
    assert "up to date" in shown
    answer = mixed.report("search", "guten Morgen")
    assert answer["hits"][0]["path"] == "locale/de/app.po" and answer["notes"] == []
    settings = Settings(str(mixed.root), str(mixed.cache_dir), DEFAULT_MODEL)
    found = search([Searcher(settings)], "good morning", Wanted(mode="dense"))
    assert [hit.path for hit in found.hits] == ["a.py"]
    # Only what was embedded is in the cache.
    mixed.command("clear", "--yes")
    assert mixed.run()["chunks"]["cached"] == 1


def test_a_setting_embeds_exactly_these_and_takes_it_back(mixed: Project) -> None:
    before = comparable(mixed.rows())
    plan = mixed.report("status", "--embed", "all")["plan"]
    assert plan["unembedded"] == ["cities.csv", "locale/de/app.po"]
    report = mixed.run("--embed", "all")
    assert (report["files"]["embedded"], report["files"]["read"]) == (2, 2)
    assert report["chunks"]["embedded"] == 2 and counts(report) == (0, 0, 0)
    assert all(embedded(mixed).values())
    assert_settled(mixed, "--embed", "all")

    assert mixed.command("verify").returncode == 1
    plan = mixed.report("status")["plan"]
    assert plan["stripped"] == ["cities.csv", "locale/de/app.po"]
    dry = mixed.command("run", "--dry-run").stdout
    assert "S cities.csv\nS locale/de/app.po\n" in dry
    report = mixed.run()
    assert (report["files"]["stripped"], report["files"]["read"]) == (2, 2)
    assert (report["status"], counts(report)) == ("updated", (2, 2, 0))
    assert comparable(mixed.rows()) == before
    assert_settled(mixed)


def test_patterns_count_before_the_rule(mixed: Project) -> None:
    mixed.write("codx-index.toml", 'by-words = ["*.py", "!cities.csv"]\n')
    report = mixed.run()
    assert (report["files"]["embedded"], report["files"]["stripped"]) == (1, 1)
    assert embedded(mixed) == {
        "a.py": False,
        "cities.csv": True,
        "codx-index.toml": True,
        "locale/de/app.po": False,
    }
    assert_settled(mixed)
    report = mixed.run("--embed", "all")
    assert report["files"]["embedded"] == 1 and not embedded(mixed)["a.py"]


def test_an_empty_list_on_the_command_line_is_no_pattern(mixed: Project) -> None:
    assert mixed.command("run", "--embed", "some").returncode == 2
    assert mixed.run("--by-words", "")["status"] == "unchanged"


def test_without_the_manifest_the_rows_and_the_tree_tell(mixed: Project) -> None:
    before = comparable(mixed.rows())
    (mixed.root / ".codx/index/manifest.sqlite").unlink()
    report = mixed.run()
    assert (report["chunks"]["upserted"], counts(report)) == (0, (2, 2, 0))
    assert comparable(mixed.rows()) == before
    assert_settled(mixed)
    # Nor does it matter which settings the rows were written with.
    (mixed.root / ".codx/index/manifest.sqlite").unlink()
    report = mixed.run("--embed", "all")
    assert report["files"]["embedded"] == 2 and report["chunks"]["upserted"] == 2
    (mixed.root / ".codx/index/manifest.sqlite").unlink()
    assert mixed.run()["files"]["stripped"] == 2
    assert comparable(mixed.rows()) == before
    assert_settled(mixed)


def test_another_rule_reads_every_file_and_writes_what_it_decides(
    mixed: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("indexer.index.manifest.FORMAT", "4 0")
    monkeypatch.setattr("indexer.index.stamp.MEANING_VERSION", 0)
    with monkeypatch.context() as patch:
        patch.setattr("indexer.text.meaning._DATA_ENDINGS", frozenset({"py"}))
        report = mixed.run()
    assert (report["files"]["embedded"], report["files"]["stripped"]) == (1, 1)
    assert report["files"]["read"] == 3 and report["chunks"]["upserted"] == 2
    assert embedded(mixed) == {
        "a.py": False,
        "cities.csv": True,
        "locale/de/app.po": False,
    }


def test_a_rename_to_another_kind_of_file(mixed: Project) -> None:
    (mixed.root / "locale/de/app.po").rename(mixed.root / "greetings.txt")
    (mixed.root / "a.py").rename(mixed.root / "a.out")
    report = mixed.run()
    assert report["files"]["renamed"] == 2 and counts(report) == (2, 2, 0)
    assert embedded(mixed) == {
        "greetings.txt": True,
        "a.out": False,
        "cities.csv": False,
    }
    (mixed.root / "greetings.txt").rename(mixed.root / "locale/de/app.po")
    (mixed.root / "a.out").rename(mixed.root / "a.py")
    report = mixed.run()
    assert report["files"]["renamed"] == 2 and report["chunks"]["embedded"] == 0
    assert embedded(mixed)["a.py"] and not embedded(mixed)["locale/de/app.po"]
    assert_settled(mixed)


def test_a_change_of_the_text_alone(mixed: Project) -> None:
    mixed.write("a.py", "# This file was automatically generated by x\n" + CODE)
    report = mixed.run()
    assert report["files"]["modified"] == 1 and counts(report) == (3, 3, 0)
    assert not any(embedded(mixed).values())
    mixed.write("a.py", CODE)
    assert mixed.run()["chunks"]["cached"] == 1
    assert_settled(mixed)


def test_the_same_text_in_files_of_both_kinds(project: Project) -> None:
    """Its vector comes from the one and does not go to the other, whichever came first."""
    for name in ("a.txt", "b.csv", "c.txt", "d.csv"):
        project.write(name, CSV)
        report = project.run()
        assert report["chunks"]["embedded"] == (name == "a.txt")
    assert embedded(project) == {
        "a.txt": True,
        "b.csv": False,
        "c.txt": True,
        "d.csv": False,
    }
    assert_settled(project)


def test_by_words_first_counts_them_apart(project: Project) -> None:
    project.write("a.py", CODE)
    project.write("b.csv", CSV)
    report = project.run("--mode", "sparse")
    assert counts(report) == (1, 1, 1)
    assert project.command("verify", "--mode", "sparse").returncode == 0
    status = project.command("status").stdout
    assert "2 chunks, 0 of them embedded, 1 (of 1 file) found by words alone" in status
    assert "behind: 1 to embed" in status
    # What is to have a vector after all has none yet, and nothing is written for that.
    report = project.run("--mode", "sparse", "--embed", "all")
    assert (report["chunks"]["upserted"], counts(report)) == (0, (0, 0, 2))
    report = project.run("--sparse-first")
    assert (report["files"]["embedded"], counts(report)) == (1, (1, 1, 0))
    assert embedded(project) == {"a.py": True, "b.csv": False}
    # Vectors that are not wanted go, whether the run embeds or not.
    project.run("--embed", "all", "--sparse-first")
    assert all(embedded(project).values())
    report = project.run("--mode", "sparse")
    assert report["files"]["stripped"] == 1
    assert embedded(project) == {"a.py": True, "b.csv": False}
    assert_settled(project)


def test_verify_sees_a_vector_too_many_and_mends_it(mixed: Project) -> None:
    mixed.run("--embed", "all")
    done = mixed.command("verify")
    assert "has a vector, but should be found by its words alone" in done.stdout
    assert mixed.command("verify", "--repair").returncode == 0
    assert sum(embedded(mixed).values()) == 1
    assert_settled(mixed)


def test_a_file_with_a_mention_is_not_asked_about_again(project: Project) -> None:
    project.write("a.csv", "x = 1  # " + "@" + "codx: rename this\n")
    assert len(project.run()["mentions"]["pending"]) == 1
    assert project.run("--embed", "all")["mentions"]["pending"] == []
    assert project.run()["mentions"]["pending"] == []


def test_the_pages_of_a_wiki_follow(project: Project, tmp_path: Path) -> None:
    """A file without vectors is related to none; what a change leaves is what a fresh wiki has."""
    for name in ("a.txt", "b.txt"):
        project.write(name, f"{CSV}{name}\n")
    project.write("c.csv", CSV)
    project.run("--wiki")
    folder = project.root / ".codx/wiki"

    def pages() -> dict[str, str]:
        paths = folder.rglob("*.md")
        return {str(p.relative_to(folder)): p.read_text() for p in paths}

    before = pages()
    assert json.dumps(before).count("c.csv") > 0
    project.run("--wiki", "--embed", "all")
    assert pages() != before
    project.run("--wiki")
    assert pages() == before
