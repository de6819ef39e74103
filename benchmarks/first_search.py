"""How long from a project without an index to the first answer? Ours, and semble's, in turn.

`peers.py --first-search` runs this. We run `run --mode sparse`, after which every file is found
by its words, and then `search` in a new process; `run --sparse-first` does the same before it
embeds. semble's command makes its index and answers in one process. Each round begins without
an index and without a cache, and every process's start-up counts.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from argparse import Namespace
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from common import (
    COMMAND,
    Indexer,
    Unexpected,
    commit_project,
    emptied,
    headline,
    measure,
    median,
    prepared,
    surroundings,
    write_json,
)
from peers import OFFLINE, Sample, chosen, default_environments, install, last_line
from retrieval import DISTILLED, SEMBLE, SEMBLE_LIMIT

QUERY = "parse the arguments"


@dataclass(slots=True)
class Searcher:
    """A program that answers a question about a project that it has not seen before."""

    name: str
    failure: str = ""
    samples: list[Sample] = field(default_factory=list)

    def take_turn(self, project: Path) -> None:
        """Answer once, unless an earlier turn failed."""
        try:
            if not self.failure:
                self.samples.append(self.answer(project))
        except (Unexpected, OSError, subprocess.SubprocessError) as error:
            self.failure = " ".join(str(error).split())[:300]

    def answer(self, project: Path) -> Sample:
        """Index the project and answer."""
        raise NotImplementedError

    def as_dict(self) -> dict[str, Any]:
        walls, cpus = ([s.wall for s in self.samples], [s.cpu for s in self.samples])
        return {
            "name": self.name,
            "failure": self.failure,
            **({"wall": median(walls), "cpu": median(cpus)} if walls else {}),
            "samples": [{"wall": s.wall, "cpu": s.cpu} for s in self.samples],
        }


class Ours(Searcher):
    """The installed codx-index: a run, and a search in a new process."""

    def __init__(self, indexer: Indexer, folder: Path) -> None:
        super().__init__("codx-index")
        self._indexer, self._root = indexer, folder / "ours"

    def answer(self, project: Path) -> Sample:
        emptied(self._indexer, self._indexer.cache)
        shutil.rmtree(self._root, ignore_errors=True)
        shutil.copytree(project, self._root)
        commit_project(self._root)
        wall = cpu = 0.0
        for arguments in (
            ("run", "--mode", "sparse"),
            ("search", "--mode", "sparse", QUERY),
        ):
            variables = self._indexer.variables()
            ended = measure(COMMAND, *arguments, variables=variables, folder=self._root)
            if ended.code:
                raise Unexpected(
                    f"{arguments[0]} ended with {ended.code}: {last_line(ended)}"
                )
            wall, cpu = wall + ended.usage.wall, cpu + ended.usage.cpu
        if not ended.output.strip():
            raise Unexpected("search found nothing")
        return Sample(wall, cpu)


class Semble(Searcher):
    """semble's command, with the static model in a folder."""

    def __init__(self, environment: Path, model: Path | None, folder: Path) -> None:
        super().__init__("semble")
        self._bin, self._model, self._cache = (
            environment / "bin",
            model,
            folder / "semble",
        )
        if model is None or not (model / "model.safetensors").is_file():
            self.failure = "it needs a static model: retrieval.py --distill makes one"
            return
        try:
            install(environment, SEMBLE, lambda: None)
        except (Unexpected, OSError, subprocess.SubprocessError) as error:
            self.failure = " ".join(str(error).split())[:300]

    def answer(self, project: Path) -> Sample:
        shutil.rmtree(self._cache, ignore_errors=True)
        self._cache.mkdir()
        variables = {
            **os.environ,
            **OFFLINE,
            "SEMBLE_MODEL_NAME": str(self._model),
            "SEMBLE_CACHE_LOCATION": str(self._cache),
        }
        limited = ("timeout", "--signal=KILL", str(SEMBLE_LIMIT), self._bin / "semble")
        ended = measure(*limited, "search", "--", QUERY, project, variables=variables)
        if ended.code or not ended.output.strip():
            raise Unexpected(f"semble ended with {ended.code}: {last_line(ended)}")
        return Sample(ended.usage.wall, ended.usage.cpu)


def compete(options: Namespace, folder: Path) -> None:
    """Let both take their turns, and print and write what they took."""
    project = chosen(options.path, folder / "project", options.files)
    environments = (options.environments or default_environments()).absolute()
    model = options.semble_model and options.semble_model.absolute()
    searchers: list[Searcher] = [
        Ours(prepared(folder, options.cache_dir, jobs=0), folder),
        Semble(environments / "semble", model, folder),
    ]
    for searcher in searchers:
        searcher.take_turn(project.root)  # with cold files
        searcher.samples.clear()
    for number in range(options.rounds):
        for searcher in searchers[:: -1 if number % 2 else 1]:
            searcher.take_turn(project.root)
    found = [searcher.as_dict() for searcher in searchers]
    print(headline(), project.about, DISTILLED + ".", *table(found), sep="\n")
    about = {"project": project.about, "query": QUERY, "searchers": found}
    write_json(options.json, {**surroundings(), **about})


def table(found: list[dict[str, Any]]) -> list[str]:
    """What each took, and how many times as much CPU as the last one."""
    lines = [f"\n{'first search':22}{'rounds':>7}{'wall s':>9}{'CPU s':>9}{'x CPU':>8}"]
    base = found[-1].get("cpu")
    for one in found:
        if one["failure"]:
            lines.append(f"{one['name']:22}left out: {one['failure']}")
            continue
        ratio = f"{one['cpu'] / base:8.2f}" if base else ""
        lines.append(
            f"{one['name']:22}{len(one['samples']):7}{one['wall']:9.2f}{one['cpu']:9.2f}{ratio}"
        )
    return lines
