"""What is made of the source for others: an image, manual pages, a citation, packages."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest
import yaml
from conftest import COMMAND
from every_command import COMMANDS

import indexer

ROOT = Path(__file__).parent.parent
DOCKERFILE = (ROOT / "Dockerfile").read_text()


@pytest.fixture(autouse=True)
def scripts(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Modules of `release/` can be imported."""
    monkeypatch.syspath_prepend(ROOT / "release")
    yield
    for name in ("man", "tour"):
        sys.modules.pop(name, None)


def script(name: str) -> ModuleType:
    return import_module(name)


def test_the_image_is_made_of_what_docker_sees() -> None:
    copied = re.findall(r"^COPY (?!--)(.*) \S+$", DOCKERFILE, re.M)
    named = {name for line in copied for name in line.split()}
    seen = re.findall(r"^!(.*)$", (ROOT / ".dockerignore").read_text(), re.M)
    assert named == set(seen)
    assert all((ROOT / name).exists() for name in named)


def test_the_image_runs_as_nobody_of_importance() -> None:
    (user,) = re.findall(r"^USER (.*)$", DOCKERFILE, re.M)
    assert int(user) > 0 and f"useradd --uid {user} " in DOCKERFILE


def test_each_command_has_a_page_with_its_options(tmp_path: Path) -> None:
    pages = script("man").pages()
    names = {name.replace(" ", "-") for name in COMMANDS}
    groups = {name.partition(" ")[0] for name in COMMANDS if " " in name}
    wanted = {"", *(f"-{name}" for name in names | groups)}
    assert set(pages) == {f"codx-index{name}.1" for name in wanted}
    for name, command in COMMANDS.items():
        page = pages[f"codx-index-{name.replace(' ', '-')}.1"]
        for option in (
            one for one in command.params if one.param_type_name == "option"
        ):
            assert max(option.opts, key=len).replace("-", "\\-") in page
    for name, text in pages.items():
        assert text.replace("\n", "").isprintable(), name
        (tmp_path / name).write_text(text)
    if not (groff := shutil.which("groff")):
        pytest.skip("there is no groff here")
    done = subprocess.run(
        [groff, "-man", "-ww", "-z", "-Tutf8", "-Kutf8", *sorted(pages)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_the_citation_is_of_this_version() -> None:
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert cited["version"] == indexer.__version__


def test_uv_leaves_out_what_the_slim_requirements_do() -> None:
    text = (ROOT / "slim" / "requirements.py").read_text()
    (listed,) = re.findall(r"^LEFT_OUT = \{\n(.*?)^\}", text, re.M | re.S)
    left_out = (ROOT / "slim" / "left-out.txt").read_text()
    assert set(re.findall(r'^    "([\w-]+)":', listed, re.M)) == set(
        re.findall(r"^([\w-]+);", left_out, re.M)
    )


@pytest.mark.slow
def test_the_first_steps(model_cache: Path) -> None:
    script("tour").walk(COMMAND, str(model_cache))
