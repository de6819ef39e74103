"""Whatever a scan asked for may change: then "unchanged" must still be true."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
from conftest import make_cache
from life import Life
from stamped_tree import LIMIT, TEXTS, WRITTEN, Silence, Tree, hidden, is_unchanged

from indexer import pipeline
from indexer.config import (
    WIKI_MARKER,
    Effect,
    MentionSettings,
    Settings,
    WikiSettings,
    effect_of,
)
from indexer.index import stamp
from indexer.report import Report
from indexer.run.plan import Plan, plan
from indexer.run.verify import verify
from indexer.timeline import Spans
from indexer.tree import rescan
from indexer.tree.project import scan_project

# Other values for the settings that a run may have on the same index.
VALUES: dict[str, list[Any]] = {
    "include_secrets": [False, True],
    "recurse_submodules": [True, False],
    "default_excludes": [True, True, False],
    "max_file_size": [LIMIT, 20],
    "name": ["", "A title"],
    "own_files": [(), ("loose.py",), ("linked.py",), ("src/c.py", "outside")],
    "ignore": [(), ("lib/",), ("*.md", "!docs/x.md")],
    "ignore_containing": [(), ("/deep/",)],
    "mentions": [MentionSettings(), MentionSettings(enabled=False)],
    "wiki": [WikiSettings(), WikiSettings(enabled=True), WikiSettings(folder="docs")],
    "secrets": ["mask", "skip-file", "off"],
    "jobs": [0, 3],
    "settle": [0, 0.001],
    "cache_size": [2 * 1024**3, 0],
    "retry_failed": [False, True],
    "sparse_first": [False, True],
    "leaves_vectors": [False, True],
    "uses_git": [True, True, False],
    "embed": ["meaning", "all"],
    "by_words": [(), ("*.md",), ("lib/", "!*.md")],
}
# These name another index, another tree or a part of it, or have tests of their own.
LEFT_OUT = set(
    """project cache_dir model model_from model_revision model_max_tokens model_concurrency origin precision mode uri token collection shared_collection project_name searched state_root takes_over asks_once
    executor task_timeout wait force external_folders languages only changed_within max_seconds least_seconds seed""".split()
)


def test_every_setting_has_its_place_here() -> None:
    assert {one.name for one in fields(Settings)} == {*VALUES, *LEFT_OUT}


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "home"
    (folder / ".config/git").mkdir(parents=True)
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    return folder


class Inputs:
    """A tree, the settings of its runs, and whatever else a scan of it may ask for."""

    def __init__(self, tree: Tree, home: Path, seed: int) -> None:
        self.tree = tree
        self.home = home
        self.rng = random.Random(seed)
        self.life = Life(tree, seed)
        self.settings = tree.settings(mode="sparse")

    def change_one(self) -> str:
        """Change one input; returns which."""
        acts: list[Callable[[], str]] = [
            *[self.setting] * 6,
            *[self.wiki_marker, self.own_link] * 3,
            *[self.configuration, self.attributes, self.filtered] * 2,
            *[self.excludes, self.environment, self.codxignore, self.secret_name],
            *[self.tool_folder, self.sign_of_a_tool, self.worktree] * 3,
            *[self.default_brought_back, self.repository_in_a_tool_folder] * 2,
            *[self.life.step] * 3,
        ]
        with suppress(subprocess.CalledProcessError, OSError):
            return self.rng.choice(acts)()
        return "nothing"

    def setting(self) -> str:
        name = self.rng.choice([*VALUES])
        value = self.rng.choice(VALUES[name])
        top = self.tree.root
        if name == "own_files":
            value = tuple(str(top / one) for one in value)
        elif name == "wiki" and value.folder:
            value = replace(value, folder=str(top / value.folder))
        self.settings = replace(self.settings, **{name: value})
        return f"{name}={value}"

    def wiki_marker(self) -> str:
        """A folder becomes one of ours, or no longer is; whether git lists it or not."""
        where = self.rng.choice(["docs", "lib", "build/pages", "logs/deep"])
        text = self.rng.choice([f"{WIKI_MARKER}\n", "# my own\n", ""])
        path = self.tree.root / where / "mkdocs.yml"
        if not text and path.exists():
            path.unlink()
        else:
            self.tree.write(f"{where}/mkdocs.yml", text + "site_name: x\n")
            self.tree.write(f"{where}/x.md", self.life.text())
        if self.rng.random() < 0.3:
            self.tree.git("add", "-f", where)
        return f"{where}/mkdocs.yml {text!r}"

    def own_link(self) -> str:
        """`--events linked.py`, and the link leads to another file now."""
        path = self.tree.root / "linked.py"
        target = self.rng.choice(["a.py", "src/d.py", "lib/f.py", "nothing"])
        path.unlink(missing_ok=True)
        path.symlink_to(target)
        return f"linked.py -> {target}"

    def configuration(self) -> str:
        name, value = self.rng.choice(
            [
                ("core.ignorecase", "true"),
                ("core.ignorecase", "false"),
                ("core.excludesFile", str(self.home / "excluded")),
                ("core.excludesFile", str(self.home / "elsewhere")),
                ("core.attributesFile", str(self.home / "attributes")),
                ("core.symlinks", "false"),
                ("core.autocrlf", "true"),
                ("user.name", "somebody"),
                ("include.path", str(self.home / "included")),
            ]
        )
        self.tree.git("config", name, value)
        return f"{name}={value}"

    def attributes(self) -> str:
        path = self.rng.choice(
            [".gitattributes", "src/.gitattributes", ".git/info/attributes"]
        )
        text = self.rng.choice(
            ["", "*.py filter=rot\n", "a.py -text\n", "*.py ident\n"]
        )
        self.tree.write(path, text)
        return f"{path} {text!r}"

    def filtered(self) -> str:
        """A file changes, but not for git: a filter of equal size makes up for it."""
        turn = "tr A-Za-z N-ZA-Mn-za-m"
        self.tree.git("config", "filter.rot.clean", turn)
        self.tree.git("config", "filter.rot.smudge", turn)
        self.tree.write(".git/info/attributes", "b.py filter=rot\n")
        (self.tree.root / "b.py").unlink(missing_ok=True)
        self.tree.git("checkout", "-q", "--", "b.py")
        os.utime(self.tree.root / "b.py", (WRITTEN, WRITTEN + self.rng.randrange(50)))
        self.tree.git("status")
        (self.tree.root / ".git/info/attributes").unlink()
        return "filtered b.py"

    def excludes(self) -> str:
        names = ["excluded", "elsewhere", ".config/git/ignore", "included"]
        name = self.rng.choice(names)
        text = self.rng.choice(["", "loose.py\n", "lib/\n", "*.md\n"])
        if name == "included":
            text = f"[core]\n\texcludesFile = {self.home / 'elsewhere'}\n"
        (self.home / name).write_text(text)
        return f"~/{name} {text!r}"

    def environment(self) -> str:
        other = self.home / "xdg"
        (other / "git").mkdir(parents=True, exist_ok=True)
        (other / "git/ignore").write_text("extra/\n")
        if "XDG_CONFIG_HOME" in os.environ:
            del os.environ["XDG_CONFIG_HOME"]
        else:
            os.environ["XDG_CONFIG_HOME"] = str(other)
        return "XDG_CONFIG_HOME"

    def codxignore(self) -> str:
        where = self.rng.choice(["", "src/", "lib/", "docs/", "build/"])
        path = self.tree.root / where / ".codxignore"
        if path.exists() and self.rng.random() < 0.5:
            path.unlink()
            return f"no {where}.codxignore"
        text = self.rng.choice(["*.py\n", "!a.py\n", "deep\n", "# nothing\n"])
        self.tree.write(f"{where}.codxignore", text)
        return f"{where}.codxignore {text!r}"

    def tool_folder(self) -> str:
        """A folder that is left out by default comes, goes, or is tracked in part."""
        where = self.rng.choice(["node_modules", "lib/.venv", "extra/target", "build2"])
        path = self.tree.root / where
        match self.rng.randrange(5):
            case 0 if path.exists():
                shutil.rmtree(path)
                return f"no {where}"
            case 1:
                self.tree.write(f"{where}/x.py", self.life.text())
                self.tree.git("add", "-f", f"{where}/x.py")
                return f"{where}/x.py is tracked"
            case 2:
                (path / "deep/empty").mkdir(parents=True, exist_ok=True)
                return f"{where}/deep/empty"
            case 3 if path.exists():
                for file in [one for one in path.rglob("*.py") if one.is_file()][:1]:
                    file.unlink()
                return f"a file of {where} is gone"
        name = self.rng.choice(["x.py", "deep/y.py", "deep/empty/z.py"])
        self.tree.write(f"{where}/{name}", self.life.text())
        return f"{where}/{name}"

    def sign_of_a_tool(self) -> str:
        """What tells that a tool filled a folder comes or goes; git may ignore it."""
        tag = "Signature: 8a477f597d28d172789f06886806bc55\n"
        name, text = self.rng.choice(
            [
                ("extra/pyvenv.cfg", "home = /usr\n"),
                ("extra/CACHEDIR.TAG", tag),
                ("extra/CACHEDIR.TAG", "Signature: none\n"),
                ("extra/Cargo.toml", "[package]\n"),
                ("build2/CACHEDIR.TAG", tag),
                ("lib/pyvenv.cfg", "home = /usr\n"),
                ("extra/conda-meta/history", "x\n"),
            ]
        )
        path = self.tree.root / name
        if path.exists() and self.rng.random() < 0.5:
            path.unlink()
            return f"no {name}"
        self.tree.write(name, text)
        exclude = self.rng.choice(["", "pyvenv.cfg\nCACHEDIR.TAG\nCargo.toml\n"])
        self.tree.write(".git/info/exclude", exclude)
        return f"{name} {text!r} excluded={bool(exclude)}"

    def worktree(self) -> str:
        """Another work tree of the repository comes into the tree, goes, or is forgotten."""
        where = self.rng.choice([".worktrees/one", "lib/two"])
        path = self.tree.root / where
        if not path.exists():
            self.tree.git("worktree", "add", "-f", "--detach", where)
            return f"work tree {where}"
        match self.rng.randrange(5):
            case 0:
                self.tree.git("worktree", "remove", "--force", where)
                return f"no work tree {where}"
            case 1:
                (path / ".git").unlink()
                return f"{where} loses its .git"
            case 2:
                shutil.rmtree(self.tree.root / ".git/worktrees" / path.name)
                return f"{where} is forgotten"
            case 3:
                self.tree.git("add", where)
                return f"{where} is a gitlink"
        self.tree.write(f"{where}/new.py", self.life.text())
        return f"{where}/new.py"

    def default_brought_back(self) -> str:
        where = self.rng.choice([".gitignore", ".codxignore", "lib/.gitignore"])
        path = self.tree.root / where
        lines = path.read_text() if path.exists() else ""
        if "!" in lines:
            path.write_text("*.log\nbuild/\n" if where == ".gitignore" else "")
            return f"{where} as it was"
        path.write_text(f"{lines}\n!node_modules/\n!.venv/\n!two/\n")
        return f"{where} with !"

    def repository_in_a_tool_folder(self) -> str:
        where = self.rng.choice(["node_modules/dep", "lib/.venv", "extra/dep"])
        path = self.tree.root / where
        if (path / ".git").exists() and not (path / ".git/HEAD").exists():
            shutil.rmtree(
                path
            )  # while git takes it for no repository there is no stamp
            return f"no {path}"
        if (path / ".git").exists():
            lost = [path / ".git/HEAD"] if self.rng.random() < 0.2 else []
            gone = self.rng.choice([*lost, path, path / ".git"])
            (shutil.rmtree if gone.is_dir() else os.unlink)(gone)
            return f"no {gone}"
        self.tree.write(f"{where}/r.py", self.life.text())
        self.tree.git("init", "-q", where)
        self.tree.git("-C", where, "add", "-A")
        return f"repository {where}"

    def secret_name(self) -> str:
        self.tree.write(self.rng.choice([".env", "src/id_rsa"]), self.life.text())
        return "a name of a secret"

    def pages(self) -> dict[str, bytes]:
        folder = Path(self.settings.wiki_dir)
        return {
            str(path): path.read_bytes()
            for path in folder.rglob("*")
            if path.is_file() and self.settings.wiki.enabled
        }

    def run(self) -> Report:
        """A run that looks at what differs from the stamp, if there is one."""
        report = Report()
        look = stamp.look(self.settings, report)
        pipeline.run(self.settings, report, Silence(), look=look)
        return report

    def plan(self) -> tuple[Plan, Report]:
        report = Report()
        planned = plan(self.settings, report)
        report.spans, report.status = Spans(), ""
        return planned, report


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory, model_cache: Path) -> Tree:
    folder = tmp_path_factory.mktemp("inputs")
    cache = make_cache(folder / "cache", model_cache)
    tree = Tree(folder / "tree", cache)
    tree.root.mkdir()
    tree.git("init", "-q", "-b", "main", "--template=")
    tree.write(".gitignore", "*.log\nbuild/\n")
    for name, text in zip("a.py b.py src/c.py src/d.py src/deep/e.py".split(), TEXTS):
        os.utime(tree.write(name, text), (WRITTEN, WRITTEN))
    os.utime(tree.write("lib/f.py", TEXTS[7]), (WRITTEN, WRITTEN))
    tree.git("add", "-A")
    tree.git("commit", "-qm", "first")
    tree.write("loose.py", TEXTS[8])
    tree.write("extra/u.py", TEXTS[9])
    return tree


@pytest.mark.parametrize(
    "seed, steps",
    [(1, 20), *[pytest.param(n, 400, marks=pytest.mark.slow) for n in (2, 3)]],
)
def test_unchanged_is_true_whatever_changed(
    seed: int, steps: int, template: Tree, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One input changes at a time. Where the stamp says "unchanged", a run without a stamp
    finds nothing to do, counts the same, and the rows are those of the tree. Where it says what
    differs, that is all that a look at every file finds."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(home / ".config"))
    inputs = Inputs(template, home, seed)
    parts: list[object] = []
    monkeypatch.setattr(rescan, "rescan", noting(rescan.rescan, parts))
    stamped = believed = 0
    for number in range(steps):
        for _ in range(3):  # what was written just now makes no stamp at first
            time.sleep(0.025)
            inputs.run()
            if is_unchanged(inputs.settings, Report()):
                stamped += 1
                break
        what = (seed, number, inputs.change_one())
        planned = inputs.plan()
        with hidden(template.stamp):
            assert inputs.plan() == planned, what
        fast = Report()
        if not is_unchanged(inputs.settings, fast):
            continue
        believed += 1
        pages = inputs.pages()
        template.stamp.unlink()
        slow = inputs.run()
        fast.spans = slow.spans
        slow.files.read = 0
        assert fast == slow, what
        assert inputs.pages() == pages, what
        assert verify(inputs.settings, Report()) == [], what
    # None of this was in vain.
    print(stamped, believed, len(parts))
    assert len(parts) > steps // 5
    assert stamped > steps // 3 and believed > steps // 20, (stamped, believed)


def noting(
    function: Callable[..., object], results: list[object]
) -> Callable[..., object]:
    def noted(*args: object) -> object:
        results.append(result := function(*args))
        return result

    return noted


class Watching:
    """Settings that note which of them were asked for."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.asked: set[str] = set()

    def __getattr__(self, name: str) -> Any:
        self.asked.add(name)
        return getattr(self._settings, name)


def test_a_scan_asks_for_no_setting_that_is_said_to_change_nothing(
    template: Tree,
) -> None:
    settings = Watching(template.settings())
    scan_project(settings, Report())  # type: ignore[arg-type]
    effects = {one.name: effect_of(one) for one in fields(Settings)}
    # `only` decides what is counted, and `own_paths` stand in the stamp.
    counted = {"only", "own_paths"}
    assert {"max_file_size", "ignore", *counted} <= settings.asked
    for name in settings.asked - counted:
        assert effects[name] is Effect.RECHECK, name
