"""The wiki: real files in real folders, vectors made up, MkDocs itself."""

from __future__ import annotations

import os
import random
import re
import sqlite3
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from indexer.config import WIKI_MARKER, Reading
from indexer.report import WikiCounts
from indexer.tree.git import blob_id
from indexer.types import FileRecord
from indexer.wiki import file_page, navigation
from indexer.wiki.describe import Definition, Description, describe_files
from indexer.wiki.folders import folders_of
from indexer.wiki.markdown import PAGE_MARKER
from indexer.wiki.names import folder_page_of, page_of
from indexer.wiki.related import Place, Related, cosine, packed_mean, update_related
from indexer.wiki.sources import Sources
from indexer.wiki.update import Wiki, WikiError, update_wiki

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

DIMENSION = 12
SVG = "{http://www.w3.org/2000/svg}"


def vectors_of(data: bytes) -> NDArray[np.float32]:
    """Of few directions, so that there are ties."""
    import numpy as np

    generator = np.random.default_rng(sum(data) % 17)
    chunks = generator.normal(size=(2, DIMENSION))
    return chunks.astype(np.float32)


@dataclass
class Project:
    """Files by path, and a wiki of them."""

    root: Path
    files: dict[str, bytes] = field(default_factory=dict)
    described: list[str] = field(default_factory=list)
    failures: list[tuple[str, str]] = field(default_factory=list)

    @property
    def wiki(self) -> Path:
        return self.root / "wiki"

    @property
    def docs(self) -> Path:
        return self.wiki / "docs"

    @property
    def state(self) -> Path:
        return self.root / "wiki.sqlite"

    def sources(self) -> Sources:
        indexed = dict(self.files)
        records = {
            path: FileRecord(path, None, blob_id(data), 2 if data else 0)
            for path, data in indexed.items()
        }

        def describe(
            files: Iterable[tuple[str, str, bytes]],
        ) -> Iterator[Description]:
            for file in files:
                self.described.append(file[0])
                yield from describe_files([file], Reading())

        def vectors(
            wanted: Sequence[FileRecord],
        ) -> Iterator[tuple[str, NDArray[np.float32]]]:
            return ((one.path, vectors_of(indexed[one.path])) for one in wanted)

        return Sources(records, indexed.get, describe, vectors)

    def update(self, sources: Sources | None = None) -> WikiCounts:
        self.described.clear()
        self.failures.clear()
        return update_wiki(
            Wiki(str(self.wiki), str(self.state), "A project"),
            sources or self.sources(),
            lambda *failure: self.failures.append(failure),
        )

    def text(self, path: str) -> str:
        return (self.docs / page_of(path)).read_text()

    def written(self) -> dict[str, bytes]:
        return {
            str(path.relative_to(self.wiki)): path.read_bytes()
            for path in sorted(self.wiki.rglob("*"))
            if path.is_file()
        }


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


def small(project: Project) -> Project:
    project.files |= {
        "a/__init__.py": b'"""The package."""\n',
        "a/one.py": b'"""The first."""\nimport a.two\n\n\ndef f() -> None:\n    "Does f."\n',
        "a/two.py": b'"""The second. More."""\nx = 1\n',
        "c.sh": b"#!/bin/sh\n# Says so.\necho\n",
    }
    project.update()
    return project


def test_a_page_says_what_a_file_is(project: Project) -> None:
    small(project)
    page = project.text("a/one.py")
    assert page.startswith(PAGE_MARKER)
    assert "# one.py" in page and "The first." in page and "python, 6 lines" in page
    assert "[home](../index.md) / [a](index.md) / one.py" in page
    assert "- [f](#L-0-5) 5–6: Does f.\n" in page
    assert "## Imports\n\n- [a/two.py](two.py.md)" in page
    assert "## Imported by\n\n- [a/one.py](one.py.md)" in project.text("a/two.py")
    related = re.search(r"## Related files\n\n((?:- .*\n)+)", page)
    assert related and "](../c.sh.md) (" in related[1]
    assert '```python\n"""The first."""\nimport a.two\n\n\ndef f()' in page


def test_folders_and_home(project: Project) -> None:
    small(project)
    folder = (project.docs / "a/index.md").read_text()
    assert "# a/\n\nThe package." in folder
    assert "- [two.py](two.py.md): The second.\n" in folder
    home = (project.docs / "index.md").read_text()
    assert "# A project" in home and "4 files: python (3), bash (1)." in home
    assert "- [a/](a/index.md) (3 files): The package." in home
    assert "- [c.sh](c.sh.md): Says so." in home
    assert "- [a/two.py](a/two.py.md) (1 file)" in home
    config = (project.wiki / "mkdocs.yml").read_text()
    assert config.startswith(WIKI_MARKER + "\n")
    assert "two.py.md" in config


def test_files_without_chunks_have_no_page(project: Project) -> None:
    project.files |= {"a.py": b"x = 1\n", "empty.py": b""}
    assert project.update() == WikiCounts(pages=2, written=2)
    assert not (project.docs / "empty.py.md").exists()


# ---- Updates ----


def test_nothing_changed_nothing_written(project: Project) -> None:
    small(project)
    before = {path: path.stat().st_mtime_ns for path in project.docs.rglob("*")}
    assert project.update() == WikiCounts(pages=6)
    assert project.described == []
    assert {p: p.stat().st_mtime_ns for p in project.docs.rglob("*")} == before


def test_only_pages_that_change_are_written(project: Project) -> None:
    small(project)
    project.files["c.sh"] += b"# more\n"
    before = {path: path.stat().st_ino for path in project.docs.rglob("*.md")}
    old = project.written()
    counts = project.update()
    new = project.written()
    changed = {name for name in new if new[name] != old[name]}
    replaced = {
        str(path.relative_to(project.wiki))
        for path, inode in before.items()
        if path.stat().st_ino != inode
    }
    assert changed == replaced and "docs/c.sh.md" in changed
    assert counts == WikiCounts(pages=6, written=len(changed))


def test_a_document_is_shown_as_one_and_leads_to_pages(project: Project) -> None:
    project.files["README.md"] = b"# Name\n\nSee [the first](a/one.py#L3).\n"
    small(project)
    page = project.text("README.md")
    assert "## Name\n\nSee [the first](a/one.py.md#L3).\n" in page
    assert "## Links to\n\n- [a/one.py](a/one.py.md)\n" in page
    assert "## Linked from\n\n- [README.md](../README.md.md)" in project.text(
        "a/one.py"
    )
    assert (
        "README" not in (project.docs / "index.md").read_text().partition("## Most")[2]
    )
    del project.files["a/one.py"]
    project.update()
    assert "## Name\n\nSee the first.\n" in project.text("README.md")
    assert "## Links to" not in project.text("README.md")


def test_imports_are_drawn(project: Project) -> None:
    small(project)
    for page, drawing, target in (
        ("index.md", "~imports.svg", "a/one.py.html"),
        ("a/index.md", "a/~imports.svg", "one.py.html"),
    ):
        text = (project.docs / page).read_text()
        assert 'data="~imports.svg"></object>\n\n```mermaid\ngraph TD\n' in text
        assert text.count(" --> ") == 1
        root = ElementTree.parse(project.docs / drawing).getroot()
        links = [one.get("href") for one in root.iter(f"{SVG}a")]
        assert len(links) == 2 and target in links
    project.files["a/one.py"] = b"x = 1\n"
    project.update()
    assert not list(project.docs.rglob("*.svg"))
    assert "mermaid" not in (project.docs / "a/index.md").read_text()


def test_pages_of_deleted_files_go(project: Project) -> None:
    small(project)
    (project.docs / "notes.md").write_text("mine")
    for path in ("a/__init__.py", "a/one.py", "a/two.py"):
        del project.files[path]
    counts = project.update()
    assert counts.deleted == 4 and counts.pages == 2
    assert not (project.docs / "a").exists()
    assert (project.docs / "notes.md").read_text() == "mine"


def test_a_page_that_was_edited_or_removed_is_restored(project: Project) -> None:
    old = small(project).written()
    (project.docs / "c.sh.md").write_text("vandalized")
    (project.docs / "a/index.md").unlink()
    (project.wiki / "mkdocs.yml").write_text(f"{WIKI_MARKER}\nnav: none\n")
    assert project.update() == WikiCounts(pages=6, written=2)
    assert project.written() == old
    assert project.described == ["c.sh"]


def test_a_file_that_changed_since_it_was_indexed_keeps_its_page(
    project: Project,
) -> None:
    old = small(project).written()
    sources = project.sources()
    indexed = project.files["c.sh"] + b"# more\n"
    record = replace(sources.records["c.sh"], file_hash=blob_id(indexed))
    late = replace(sources, records={**sources.records, "c.sh": record})
    assert project.update(late).written == 0
    assert project.written() == old
    project.files["c.sh"] = indexed
    assert project.update().written > 0


@pytest.mark.parametrize("content", [None, b"no database", b"SQLite format 3\0rest"])
def test_a_damaged_state_is_begun_afresh(
    project: Project, content: bytes | None
) -> None:
    small(project)
    project.files["d.py"] = project.files.pop("a/two.py")
    fresh = Project(project.root / "fresh", dict(project.files))
    fresh.root.mkdir()
    fresh.update()
    project.state.unlink()
    if content is not None:
        project.state.write_bytes(content)
    assert project.update().deleted == 1  # known as ours by its mark
    assert project.written() == fresh.written()
    assert project.update().written == 0


def test_without_a_state_file_the_wiki_is_made_each_time(project: Project) -> None:
    old = small(project).written()
    project.state.unlink()
    project.state.mkdir()
    assert project.update().failed == 0
    assert project.written() == old


def test_another_key_begins_afresh(project: Project) -> None:
    small(project)
    assert project.update(replace(project.sources(), key="other")).failed == 0
    assert sorted(project.described) == sorted(project.files)


def test_another_folder_is_written_whole(project: Project) -> None:
    old = small(project).written()
    project.wiki.rename(project.root / "moved")
    assert project.update().written == 6
    assert project.written() == old


NAMES = ["a.py", "b.py", "p/a.py", "p/b.py", "p/q/c.py", "index", "p/x.md", "p/q", "~"]
CONTENTS = [
    b"import a\n",
    b'"""Does it."""\nimport p.a\n',
    b"from p import b\n\ndef f():\n    pass\n",
    b"# Comment.\n",
    b"x\n",
    b"y = 1\nimport b\n",
    b"# A\n[a](a.py) [b](p/b.py) [c](../b.py) [d](q/c.py)\n",
    b"",
]


@st.composite
def histories(draw: st.DrawFn) -> list[dict[str, bytes]]:
    tree = st.dictionaries(st.sampled_from(NAMES), st.sampled_from(CONTENTS))
    edits = st.lists(
        st.tuples(st.sampled_from(NAMES), st.none() | st.sampled_from(CONTENTS)),
        min_size=1,
        max_size=4,
    )
    current = draw(tree)
    found = [dict(current)]
    for changes in draw(st.lists(edits, max_size=5)):
        for name, content in changes:
            current.pop(name, None)
            if content is not None:
                current[name] = content
        found.append(dict(current))
    return found


@settings(max_examples=40, deadline=None)
@given(histories())
def test_an_updated_wiki_is_a_fresh_one(
    tmp_path_factory: pytest.TempPathFactory, history: list[dict[str, bytes]]
) -> None:
    root = tmp_path_factory.mktemp("history")
    updated = Project(root)
    for tree in history:
        # A file cannot lie where a folder does.
        updated.files = {p: d for p, d in tree.items() if p != "p/q"}
        updated.update()
    (root / "fresh").mkdir()
    fresh = Project(root / "fresh", dict(updated.files))
    fresh.update()
    assert updated.written() == fresh.written()
    assert not updated.failures


# ---- Related files ----


def exact(places: dict[str, Place]) -> dict[str, Related]:
    unknown = {path: replace(place, related=None) for path, place in places.items()}
    found = update_related(unknown)
    return {path: found[path] for path in places}


def test_related_files_are_those_of_the_highest_cosine() -> None:
    import numpy as np

    generator = np.random.default_rng(5)
    chunks = {f"f{n:02}": generator.normal(size=(3, 384)) for n in range(40)}
    found = update_related(
        {
            path: Place(packed_mean(rows.astype(np.float32)), None)
            for path, rows in chunks.items()
        }
    )
    means = {path: rows.mean(axis=0) for path, rows in chunks.items()}
    units = {path: mean / np.linalg.norm(mean) for path, mean in means.items()}
    for path, related in found.items():
        scores = {other: float(units[path] @ units[other]) for other in units}
        del scores[path]
        best = sorted(scores.values(), reverse=True)[:5]
        assert [cosine(score) for _, score in related] == pytest.approx(best, abs=1e-3)
        for other, score in related:
            assert scores[other] == pytest.approx(cosine(score), abs=1e-3)


def test_equal_files_are_related_by_path_and_none_to_nothing() -> None:
    import numpy as np

    one = packed_mean(np.ones((1, 8), np.float32))
    nothing = packed_mean(np.zeros((1, 8), np.float32))
    names = [f"f{n}" for n in range(9)]
    places = {name: Place(one, None) for name in names} | {"zero": Place(nothing, None)}
    found = update_related(places)
    assert [path for path, _ in found["f3"]] == ["f0", "f1", "f2", "f4", "f5"]
    assert cosine(found["f3"][0][1]) == pytest.approx(1, abs=1e-3)
    assert found["zero"] == ()
    assert packed_mean(np.full((1, 8), np.nan, np.float32)) == nothing


def test_related_files_kept_up_to_date_are_exact() -> None:
    import numpy as np

    rng = random.Random(7)
    places: dict[str, Place] = {}
    for _ in range(150):
        for _ in range(rng.choice([0, 1, 1, 2, 30])):
            vector = np.array([[rng.randint(-2, 2) for _ in range(4)]], np.float32)
            places[f"f{rng.randrange(25)}"] = Place(packed_mean(vector), None)
        for path in rng.sample(sorted(places), rng.choice([0, 0, 1, len(places) // 3])):
            del places[path]
        for path, related in update_related(places).items():
            places[path] = replace(places[path], related=related)
        assert {path: place.related for path, place in places.items()} == exact(places)


# ---- The folder ----


def test_a_folder_of_something_else_is_refused(project: Project) -> None:
    project.wiki.mkdir()
    project.update()  # an empty one will do
    (project.wiki / "mkdocs.yml").write_text("site_name: mine\n")
    with pytest.raises(WikiError, match="not written by codx-index.*--wiki-path"):
        project.update()
    (project.wiki / "mkdocs.yml").unlink()
    with pytest.raises(WikiError):
        project.update()


def test_a_folder_that_cannot_be_made_is_one_failure(project: Project) -> None:
    project.wiki.write_text("a file")
    assert project.update().failed == 1
    assert [name for name, _ in project.failures] == ["."]


def test_a_page_that_cannot_be_written_does_not_stop_others(project: Project) -> None:
    (project.docs / "c.sh.md/in the way").mkdir(parents=True)
    (project.wiki / "mkdocs.yml").write_text(WIKI_MARKER)
    counts = small(project).update()
    assert counts.failed == 1 and counts.pages == 5
    assert [name for name, _ in project.failures] == ["docs/c.sh.md"]
    assert "\n" not in project.failures[0][1]
    (project.docs / "c.sh.md/in the way").rmdir()
    (project.docs / "c.sh.md").rmdir()
    assert project.update() == WikiCounts(pages=6, written=1)


def test_a_full_disk_is_told_of_each_page(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "replace", full)
        counts = small(project).update()
    assert counts == WikiCounts(failed=1)
    assert project.failures == [(".", "No space left on device")]
    assert os.listdir(project.wiki) == []
    old = small(project).written()
    project.files["c.sh"] = b"# Other.\n"
    with monkeypatch.context() as patched:
        patched.setattr(os, "replace", full)
        counts = project.update()
    assert counts.written == 0 and counts.failed == len(project.failures) > 1
    assert ("docs/c.sh.md", "No space left on device") in project.failures
    assert project.written() == old
    assert project.update().failed == 0
    assert "Other." in project.text("c.sh")


def test_a_state_that_cannot_be_written_is_told(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr("indexer.wiki.state.WikiState.describe", full)
    project.files["a.py"] = b"x\n"
    assert project.update().failed == 1
    assert project.failures == [(".", "database or disk is full")]


def test_no_symlink_is_followed(project: Project) -> None:
    small(project)
    outside = project.root / "outside"
    outside.mkdir()
    (outside / "one.py.md").write_text("theirs")
    for path in (project.docs / "a").iterdir():
        path.unlink()
    (project.docs / "a").rmdir()
    (project.docs / "a").symlink_to(outside)
    (project.docs / "c.sh.md").unlink()
    (project.docs / "c.sh.md").symlink_to(outside / "one.py.md")
    assert project.update().failed == 5  # a drawing too
    del project.files["a/one.py"]
    project.update()
    assert not (project.docs / "c.sh.md").is_symlink()
    assert [p.read_text() for p in outside.iterdir()] == ["theirs"]


def test_files_have_the_given_modes(project: Project) -> None:
    old = os.umask(0o077)
    try:
        small(project)
    finally:
        os.umask(old)
    modes = {path.stat().st_mode & 0o777 for path in project.docs.rglob("*.md")}
    assert modes == {0o644}
    assert {p.stat().st_mode & 0o777 for p in (project.docs, project.wiki)} == {0o755}


# ---- Summaries ----


def test_summaries_are_asked_for_once(project: Project) -> None:
    asked: list[str] = []

    def summarize(files: Sequence[Description]) -> Iterator[tuple[str, str]]:
        for file in files:
            asked.append(file.path)
            assert file.text
            if file.path != "c.sh":
                yield file.path, f"About <b>{file.path}</b>.\n\nMore of it."

    small(project)

    def update() -> WikiCounts:
        asked.clear()
        sources = project.sources()
        return project.update(replace(sources, summarize=summarize, summary_key="1"))

    update()
    assert sorted(asked) == sorted(project.files)
    assert "About &#60;b&#62;a/two.py&#60;/b&#62;.\n\nMore" in project.text("a/two.py")
    update()
    assert asked == ["c.sh"]  # it had no answer
    project.files["a/two.py"] += b"y = 2\n"
    update()
    assert sorted(asked) == ["a/two.py", "c.sh"]


# ---- Hostile text ----

HOSTILE = "</pre><script>alert(1)</script><img src=x onerror=alert(1)>\"'&amp;*_`[x](y)"
NASTY = [
    "plain.py",
    "a b.py",
    "a#b?.py",
    "100%.py",
    'it\'s "quoted".py',
    "index",
    "index.md",
    "README",
    "README.md",
    "404",
    "404.html",
    "search",
    "sitemap.xml",
    "templates/base.html",
    "css/base.css",
    "js/base.js",
    "search/main.js",
    ".hidden/.file",
    "x",
    "x.md/y",
    "x.html/y",
    "a\nb\r\t.py",
    "a\x7f\x85\u2028\ufeff.py",
    "gr\xfc\xdfe/\u4e2d\u6587.py",
    "\U0001f600.py",
    "bad\udcff\udcfe.py",
    "back\\slash.py",
    "a~20b.py",
    "~",
    "n" * 250,
    "\xfc" * 120,
    "/".join(["deep <b>"] * 80) + "/f.py",
    "<script>alert(1)<",
    "script>.py",
    "*a*__b__.py",
    "[a](b).py",
    "1. one",
    "- two",
    "# three",
    "{{ 1 }}{% x %}.py",
    "a: b, c.py",
    "javascript:alert(1).md",
    "L1",
]


class Tags(HTMLParser):
    """What a browser would make of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.scripts = 0
        self.attributes: set[str] = set()
        self.links: list[str] = []
        self.shown = ""
        self.in_main = False

    def handle_starttag(
        self, tag: str, attributes: list[tuple[str, str | None]]
    ) -> None:
        found = dict(attributes)
        self.scripts += tag == "script"
        self.attributes |= {name for name in found if name.startswith("on")}
        if tag in ("img", "b"):
            self.attributes.add(tag)
        if tag == "a":
            self.links.append(found.get("href") or "")

    def handle_data(self, data: str) -> None:
        self.shown += data


def read(path: Path) -> Tags:
    tags = Tags()
    tags.feed(path.read_text())
    return tags


def source(name: str) -> bytes:
    text = (
        f'"""{HOSTILE} of it.\n\n[TOC]\n\n# no heading\n\n| a | b |\n|---|---|\n"""\n'
        f"\n\n    \ndef f():\n\tpass  # {HOSTILE}\n\x02\x03\x0c ```\n~~~\nlast"
    )
    return text.encode()


def build_site(wiki: Path, seconds: float) -> subprocess.CompletedProcess[str]:
    """MkDocs, after it has built the wiki strictly."""
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict"],
        cwd=wiki,
        env={**os.environ, "PYTHONWARNINGS": "ignore", "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        timeout=seconds,
    )
    assert done.returncode == 0, done.stderr
    return done


def test_mkdocs_builds_it_strictly_and_hostile_text_is_inert(project: Project) -> None:
    project.files = {name: source(name) for name in NASTY}
    for name in ("a b.py", "index.md"):
        project.files[name] = f"{HOSTILE}\n===\n\n{HOSTILE} # x\n".encode()
    project.files["page.md"] = f"# {HOSTILE}\n\n{HOSTILE}\n".encode()
    counts = update_wiki(
        Wiki(str(project.wiki), str(project.state), HOSTILE),
        project.sources(),
        lambda *failure: project.failures.append(failure),
    )
    assert not project.failures
    assert counts.pages == counts.written
    done = build_site(project.wiki, 300)
    assert "WARNING" not in done.stderr and "contains" not in done.stderr
    site = project.wiki / "site"
    theirs = read(site / "404.html")
    seen = set()
    for name in project.files:
        built = site / (page_of(name).removesuffix(".md") + ".html")
        seen.add(built)
        tags = read(built)
        assert tags.scripts == theirs.scripts
        assert tags.attributes <= theirs.attributes
        if not name.endswith(".md"):  # of a document only the words stay
            assert "</pre><script>alert(1)</script>" in tags.shown
            assert 'id="L-0-1"' in built.read_text()
        for link in tags.links:
            where, _, anchor = link.partition("#")
            assert not link.startswith("javascript:")
            if not where.startswith("http"):
                assert (built.parent / where).resolve().exists() or where in ("", ".")
            if re.fullmatch(r"L-0-\d+", anchor):
                assert f'id="{anchor}"' in built.read_text()
    assert len(seen) == len(project.files)


def test_a_listing_is_the_text(project: Project) -> None:
    lines = ["\tx", "", "    ", "  a < b && c", "`[x](y)` *a* <br>", "````", "end"]
    project.files["a.go"] = "\r\n".join(lines).encode()
    project.update()
    listing = "\n".join(["`````go", *lines, "`````"])
    assert listing in project.text("a.go")


def test_a_long_file_is_shown_in_part(project: Project) -> None:
    line = "def f(): pass\n"
    project.files["a.py"] = (line * 6_000).encode()
    project.files["b.py"] = b"x = '" + b"y" * 400_000 + b"'\ndef g(): pass\n"
    project.update()
    page = project.text("a.py")
    assert page.count(line) == file_page.MAX_LINES
    assert "The last 1,000 lines of this file are not shown." in page
    assert len(project.text("b.py")) < file_page.MAX_SOURCE + 2_000
    assert "- g 2\n" in project.text("b.py")  # there is nothing that it could lead to


def test_secrets_do_not_reach_the_wiki(project: Project) -> None:
    key = "AKIA" + "".join(random.Random(3).choices("ABCDEFGHIJKLMNOP", k=16))
    project.files["a.py"] = f'"""Key {key} here."""\nkey = "{key}"\n'.encode()
    project.update()
    assert not any(key.encode() in data for data in project.written().values())
    assert key.encode() not in project.state.read_bytes()


# ---- Names ----

PARTS = st.text(
    st.sampled_from("abmdhtlinex.~~ /%\xe9\udcff"), min_size=1, max_size=8
) | st.sampled_from(["index", "README", "a.md", "a.html", "a", "n" * 200, "n" * 201])


def is_path(path: str) -> bool:
    return all(part not in ("", ".", "..") for part in path.split("/"))


@settings(max_examples=300, deadline=None)
@given(st.sets(PARTS.filter(is_path), max_size=8))
def test_no_two_files_share_a_page(paths: set[str]) -> None:
    folders = folders_of(paths)
    found = [page_of(path) for path in paths]
    found += [folder_page_of(folder) for folder in folders]
    assert len(set(found)) == len(found)
    # Nor is any page a folder of another, whatever MkDocs puts behind its name.
    around = {part for page in found for part in parents(page)}
    assert (
        not {
            page.removesuffix(".md") + end for page in found for end in (".md", ".html")
        }
        & around
    )


def parents(page: str) -> Iterator[str]:
    while page := page.rpartition("/")[0]:
        yield page


@pytest.mark.parametrize(
    "name, page",
    [
        ("a.py", "a.py.md"),
        ("a/b_c-d.py", "a/b_c-d.py.md"),
        ("index", "~69ndex.md"),
        ("index.md", "index.md.md"),
        ("README", "~52EADME.md"),
        (".github/x y", "~2Egithub/x~20y.md"),
        ("a~b", "a~7Eb.md"),
        ("x.md/y", "x~2Emd/y.md"),
        ("templates/y", "~74emplates/y.md"),
        ("\udcff", "~FF.md"),
    ],
)
def test_page_names(name: str, page: str) -> None:
    assert page_of(name) == page


def test_long_names_are_cut() -> None:
    names = ["\xe9" * 100 + end for end in "ab"] + ["d/" * 800 + end for end in "ab"]
    found = [page_of(name) for name in names]
    assert len(set(found)) == 4
    assert all(len(part) < 200 for page in found for part in page.split("/"))
    assert all(len(page) < 1_100 for page in found)


# ---- Size ----


def page_with(definitions: Sequence[Definition], importers: Sequence[str]) -> str:
    return file_page.file_page(
        file_page.FilePage(
            *("a", "json", 5_000, "", "", definitions, (), importers, (), (), ()),
            text="x\n" * 5_000,
        )
    )


def test_outlines_are_bounded() -> None:
    inner = [
        Definition(f"a{n}.b{m}", 10 * n + m + 2, 10 * n + m + 2)
        for n in range(100)
        for m in range(5)
    ]
    outer = [Definition(f"a{n}", 10 * n + 1, 10 * n + 8) for n in range(100)]
    both = sorted(inner + outer, key=lambda one: one.line)
    page = page_with(both, ())
    assert page.count("](#L-0-") == 100 and "- and 500 more" in page
    flat = [Definition(f"a{n}", n, n) for n in range(1, 1_000)]
    page = page_with(flat, ())
    assert page.count("](#L-0-") == file_page.MAX_OUTLINE and "- and 699 more" in page


def test_importers_are_bounded() -> None:
    page = page_with((), [f"f{n:03}" for n in range(60)])
    assert page.count("- [f") == file_page.MAX_IMPORTERS and "- and 10 more" in page


@pytest.mark.parametrize("count, is_listed", [(500, True), (501, False)])
def test_large_projects_have_folders_only_in_the_navigation(
    count: int, is_listed: bool
) -> None:
    folders = folders_of(f"d{n % 7}/f{n}.py" for n in range(count))
    config = navigation.mkdocs_settings("x", folders)
    assert ("f3.py.md" in config) is is_listed
    assert "d3/index.md" in config


def test_the_navigation_has_a_bound() -> None:
    folders = folders_of(f"d{n % 9}/e{n}/f.py" for n in range(5_000))
    config = navigation.mkdocs_settings("x", folders)
    assert config.count("index.md") == 10


@pytest.mark.slow
def test_mkdocs_builds_the_wiki_of_this_repository(project: Project) -> None:
    root = Path(__file__).parents[2]
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=root, capture_output=True, check=True
    )
    for name in os.fsdecode(listed.stdout).split("\0")[:-1]:
        project.files[name] = (root / name).read_bytes()
    project.update()
    assert not project.failures
    home = (project.docs / "index.md").read_text()
    assert '["indexer/milvus/"]' in home
    build_site(project.wiki, 550)
    found = (project.wiki / "site/search/search_index.json").read_text()
    assert "update_related" in found
    assert "def update_related" not in found  # the source is left out
