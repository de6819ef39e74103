"""How good are the answers of a search, and how soon do they arrive?

Indexes repositories at fixed commits, asks labelled queries, and scores the files that come
back. Peers answer the same queries over the same files.

    python benchmarks/retrieval.py [--set FILE] [--repositories DIR] [--only NAME,...]
        [--symbols] [--modes hybrid,dense,sparse] [--peers words,dense-plain,semble]
        [--semble-model FOLDER [--distill]] [--rounds N] [--environments DIR]
        [--cache-dir DIR] [--json FILE] [--figures FILE]

A set is one of those that `labelled.py` reads. DIR/<name> is a clone of each repository in it; it
is not changed, because the sources are written elsewhere. An entry without a commit is a folder
that is used as it is, or this checkout when --repositories is missing. By default the set is
`retrieval.json`, with queries about this project's own sources. With --symbols, a query that
comes with the name of a definition is asked by that name instead of its sentence.

Each of our modes searches an index built for it: `run --mode sparse` for sparse.

words        counts the words of the query in whole files, as a person with ripgrep does; the
             number of distinct words decides, then the number of matches
dense-plain  chunks of 1,000 characters, our default model, the best chunk of a file
semble       MinishLab's search, installed with pip into its own environment, with the static
             model in the folder of --semble-model. With --distill that folder is first made
             from all-MiniLM-L6-v2, which takes half a minute. That is NOT the model that semble
             ships with, which was trained for code: with that one it may do better. It is asked
             for 10 chunks, its default, and for 50, which ranks differently.

NDCG@10, MRR and recall look at the first ten distinct files, Hit@1 at the first. `relevant` and `secondary` count
the same, and each labelled file counts once; two paths match when one is a suffix of the other
at a `/`. `95%` is a bootstrap interval over the queries. `repos` is the mean over repositories.
`first s` is the median time of a query by a new process of the command, `ms` that of a later
query in a process that stays, and `index s` the time of the first indexes of all repositories.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import posixpath
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from common import (
    COMMAND,
    Indexer,
    Unexpected,
    emptied,
    headline,
    measure,
    median,
    prepared,
    surroundings,
    write_json,
)
from first_index import copy_files
from labelled import Entry, Query, Refused, asked_by_symbol, read_set
from peers import OFFLINE, default_environments, install, last_line, model_folder

CHECKOUT = Path(__file__).resolve().parent.parent
OWN_SET = Path(__file__).resolve().with_name("retrieval.json")

BEST = 10  # files that count
MEANS = ("hit", "ndcg", "mrr", "recall")
RESAMPLES = 10_000
PROCESSES = 3  # per repository, each of which answers its first query

MODES = ("hybrid", "dense", "sparse")  # in this order hybrid and dense share one index
PEERS = ("words", "dense-plain", "semble")

PLAIN_CHARACTERS = 1_000
SEMBLE = ("semble==0.7.0", "model2vec==0.10.0")
SEMBLE_CHUNKS = (BEST, 50)
SEMBLE_LIMIT = 600  # seconds for one process of it
DISTILLER = ("model2vec==0.10.0", "skeletoken==0.6.1")
DISTILLED = (
    "semble runs here with another static model than the one it ships with, which was trained "
    "for code: with that one it may do better"
)

STOP_WORDS = frozenset(
    "a an and any are as at be been between but by can code could do does each for from get had "
    "has have how i if in into is it its me my no not of on or our should so some such than that "
    "the their them then there these they this to us used using was we were what when where which "
    "while who why will with without would you your".split()
)


def main() -> None:
    """Measure what the command line asks for; print a table and write JSON."""
    options = arguments()
    entries = chosen(read_set(options.set), options.only)
    if options.symbols:
        entries = [asked_by_symbol(entry) for entry in entries]
    for entry in entries:
        check_source(entry, options.repositories)
    check_model(options)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name).resolve()
        if options.distill:
            distill(options.semble_model, folder)
        indexer = prepared(folder, options.cache_dir, jobs=0)
        # The user's settings must not reach this process either.
        for variable in os.environ.keys() - indexer.variables().keys():
            del os.environ[variable]
        systems = make_systems(options, folder, indexer)
        for entry in entries:
            sources = exported(entry, options.repositories, folder / "sources")
            missing = missing_labels(entry, folder / "sources")
            if missing:
                print(
                    f"{entry.name}: {len(missing)} labelled files are not in the tree, "
                    f"such as {missing[0]}",
                    file=sys.stderr,
                )
            for system in systems:
                print(f"{entry.name}: {system.name} …", file=sys.stderr)
                system.attempt(entry, sources)
    results = [system_results(system, entries) for system in systems]
    print(headline())
    print(*table(results, entries), sep="\n")
    problems = [problem for system in systems for problem in system.problems]
    found = {
        **surroundings(),
        "set": options.set.name,
        "best": BEST,
        "entries": [asdict(entry) for entry in entries],
        "systems": results,
        "problems": problems,
    }
    write_json(options.json, found)
    write_json(options.figures, figures(found))
    if problems:
        raise Unexpected("\n".join(problems))


def figures(found: Mapping[str, Any]) -> dict[str, Any]:
    """What was measured, without the queries and answers: they are the work of whoever labelled them."""
    entries = [
        {key: one[key] for key in ("name", "repository", "commit")}
        | {"queries": len(one["queries"])}
        for one in found["entries"]
    ]
    systems = [
        {key: one[key] for key in ("name", "overall", "categories") if key in one}
        for one in found["systems"]
    ]
    return {**found, "entries": entries, "systems": systems}


def arguments() -> argparse.Namespace:
    """The options on the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--set", type=Path, default=OWN_SET, help="labelled queries")
    parser.add_argument("--repositories", type=Path, help="where the clones are")
    parser.add_argument("--only", type=names_of(), default=(), help="repositories")
    parser.add_argument("--symbols", action="store_true", help="ask for names alone")
    parser.add_argument("--modes", type=names_of(MODES), default=MODES)
    parser.add_argument("--peers", type=names_of(PEERS), default=PEERS)
    parser.add_argument("--semble-model", type=Path, help="a model2vec folder")
    parser.add_argument("--distill", action="store_true", help="make that folder")
    parser.add_argument("--rounds", type=int, default=1, help="of first indexes")
    parser.add_argument("--environments", type=Path, help="where the peers are")
    parser.add_argument("--cache-dir", type=Path, help="where our converted model is")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--figures", type=Path, help="the same without the queries")
    options = parser.parse_args()
    if options.rounds < 1:
        parser.error("--rounds is at least 1")
    if options.distill and not options.semble_model:
        parser.error("--distill needs --semble-model, the folder to make")
    return options


def names_of(allowed: Sequence[str] = ()) -> Callable[[str], tuple[str, ...]]:
    """A parser of comma-separated names, which returns them in the order of `allowed`."""

    def names(text: str) -> tuple[str, ...]:
        found = tuple(dict.fromkeys(name for name in text.split(",") if name))
        for name in found:
            if allowed and name not in allowed:
                raise argparse.ArgumentTypeError(
                    f"{name!r} is none of {', '.join(allowed)}"
                )
        return tuple(name for name in allowed if name in found) if allowed else found

    return names


# ---- The set ----


def chosen(entries: list[Entry], only: Sequence[str]) -> list[Entry]:
    """The entries with these names, or all if there are no names."""
    known = [entry.name for entry in entries]
    for name in only:
        if name not in known:
            raise Refused(f"--only: there is no {name!r} in the set")
    return [entry for entry in entries if not only or entry.name in only]


# ---- The sources ----


def folder_of(entry: Entry, repositories: Path | None) -> Path:
    """Where the clone or the folder of an entry must be."""
    if repositories is not None:
        return repositories / entry.name
    if entry.commit:
        raise Refused(f"where is the clone of {entry.name}? Give --repositories")
    return CHECKOUT


def check_source(entry: Entry, repositories: Path | None) -> None:
    """Raise `Refused`, saying what to do, when the sources of an entry are not there."""
    folder = folder_of(entry, repositories)
    url = f"https://github.com/{entry.repository or '…'}"
    if not folder.is_dir():
        made = f"git clone {url} {folder}" if entry.commit else "put the folder there"
        raise Refused(f"{entry.name}: there is no {folder}: {made}")
    if not entry.commit:
        if not (folder / entry.root).is_dir():
            raise Refused(f"{entry.name}: there is no folder {entry.root} in {folder}")
        return
    # For a mere folder git would answer from the repository around it.
    inside = _git(folder, "rev-parse", "--show-prefix")
    if inside is None or inside.strip():
        raise Refused(
            f"{entry.name}: {folder} is no clone: git clone {url} {folder} in its place"
        )
    if _git(folder, "cat-file", "-e", f"{entry.commit}^{{commit}}") is None:
        raise Refused(
            f"{entry.name}: {folder} has no commit {entry.commit}: "
            f"git -C {folder} fetch origin {entry.commit}"
        )
    kind = _git(folder, "cat-file", "-t", f"{entry.commit}:{entry.root}")
    if kind is None or kind.strip() != "tree":
        raise Refused(
            f"{entry.name}: there is no folder {entry.root} in {entry.commit}: "
            "correct 'root' in the set"
        )


def exported(entry: Entry, repositories: Path | None, target: Path) -> Path:
    """Write only the sources of an entry below `target`; return its root there."""
    source = folder_of(entry, repositories)
    shutil.rmtree(target, ignore_errors=True)
    root = target / entry.root
    root.mkdir(parents=True)
    if entry.commit:
        # `git archive` would leave out what .gitattributes keeps from releases, such as tests.
        # We use our own index file, so that the clone's stays as it is.
        index = {"GIT_INDEX_FILE": str(target.with_name("sources.index"))}
        tree = f"{entry.commit}:{entry.root}"
        for command in (("read-tree", tree), ("checkout-index", "--all")):
            done = _git(source, f"--work-tree={root}", *command, variables=index)
            if done is None:
                raise Refused(
                    f"{entry.name}: git cannot write out {entry.commit}: "
                    f"try git -C {source} fsck"
                )
    elif (source / ".git").exists():
        listed = _git(
            *(source, "ls-files", "-z", "--cached", "--others", "--exclude-standard"),
            *("--", entry.root or "."),
        )
        if listed is None:
            raise Refused(f"{entry.name}: git does not list the files of {source}")
        for path in filter(None, listed.split("\0")):
            place = source / path
            parts = path.split("/")
            if place.is_file() and not place.is_symlink() and ".codx" not in parts:
                (target / path).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(place, target / path)
    else:
        copy_files(source / entry.root, root, 0)
    return root


def _git(
    folder: Path, *arguments: str, variables: Mapping[str, str] | None = None
) -> str | None:
    """What git prints, or None when it fails."""
    done = subprocess.run(
        ["git", "-C", folder, *arguments],
        env={**os.environ, **(variables or {})},
        stdin=subprocess.DEVNULL,
        capture_output=True,
    )
    return None if done.returncode else os.fsdecode(done.stdout)


def missing_labels(entry: Entry, top: Path) -> list[str]:
    """The labelled files that do not exist below `top`."""
    there = [str(path.relative_to(top)) for path in top.rglob("*") if path.is_file()]
    labels = sorted({label for query in entry.queries for label in query.labels})
    return [one for one in labels if not any(same_file(one, path) for path in there)]


# ---- Scores ----


@dataclass(frozen=True, slots=True)
class Score:
    """How good the answer to one query is; `hit` is 1 if its first file is a right one, else 0."""

    hit: float
    ndcg: float
    mrr: float
    recall: float


def score(ranked: Sequence[str], labels: Sequence[str]) -> Score:
    """Score the files `ranked`, best first, when `labels` are the right ones."""
    gains = found_labels(ranked, labels)
    return Score(
        float(gains[:1] == [1]),
        ndcg(gains, len(labels)),
        reciprocal_rank(gains),
        sum(gains) / len(labels),
    )


def same_file(one: str, other: str) -> bool:
    """Whether one path is a suffix of the other at a `/`."""
    return f"/{one}".endswith(f"/{other}") or f"/{other}".endswith(f"/{one}")


def found_labels(ranked: Sequence[str], labels: Sequence[str]) -> list[int]:
    """For each of the best distinct files, 1 if it is a labelled one, else 0.

    A label counts once: of two files that match it, only the first gets a 1.
    """
    left = list(labels)
    gains = []
    for path in list(dict.fromkeys(ranked))[:BEST]:
        # An equal path is preferred to one that is merely a suffix.
        matches = sorted(
            (label for label in left if same_file(path, label)),
            key=lambda label: label != path,  # noqa: B023
        )
        gains.append(1 if matches else 0)
        if matches:
            left.remove(matches[0])
    return gains


def ndcg(gains: Sequence[int], labels: int) -> float:
    """The discounted gain as a share of the gain of the best order of so many labels."""
    return _discounted(gains) / _discounted([1] * min(BEST, labels))


def _discounted(gains: Sequence[int]) -> float:
    return sum(gain / math.log2(place + 1) for place, gain in enumerate(gains, 1))


def reciprocal_rank(gains: Sequence[int]) -> float:
    """1 / the place of the first right file, 0 if there is none."""
    return next((1 / place for place, gain in enumerate(gains, 1) if gain), 0.0)


def interval(values: Sequence[float]) -> tuple[float, float]:
    """The 95% bootstrap interval of a mean; equal values give equal intervals."""
    rng = np.random.default_rng(0)
    picks = rng.integers(0, len(values), (RESAMPLES, len(values)), dtype=np.int32)
    low, high = np.percentile(np.asarray(values)[picks].mean(axis=1), [2.5, 97.5])
    return float(low), float(high)


def mean(values: Sequence[float]) -> float:
    """The mean of at least one value."""
    return math.fsum(values) / len(values)


# ---- Systems ----


@dataclass(frozen=True, slots=True)
class Answer:
    """Paths in the repository, best first, and the seconds until they were found."""

    files: tuple[str, ...]
    seconds: float


@dataclass(frozen=True, slots=True)
class Measured:
    """How a system did on one repository.

    `answers` are in the order of the queries. `first` holds the seconds of queries by new
    processes of the command. A figure that a system does not have, such as that of an index,
    is None.
    """

    answers: tuple[Answer, ...]
    index_seconds: float | None = None
    chunks: int | None = None
    first: tuple[float, ...] = ()
    problems: tuple[str, ...] = ()


@dataclass(slots=True)
class System:
    """A system that answers queries; `failure` says why it is left out, "" if it is not."""

    name: str
    answer: Callable[[Entry, Path], Measured]
    is_ours: bool = False
    failure: str = ""
    versions: list[str] = field(default_factory=list)
    measured: dict[str, Measured] = field(default_factory=dict)

    def attempt(self, entry: Entry, sources: Path) -> None:
        """Let the system answer the queries of an entry.

        A peer that fails is left out. A failure of ours is raised, because then there is
        nothing to compare with.
        """
        if self.failure:
            return
        try:
            self.measured[entry.name] = self.answer(entry, sources)
        except (Unexpected, OSError, subprocess.SubprocessError, ValueError) as error:
            if self.is_ours:
                raise
            self.failure = " ".join(str(error).split())[:300] or type(error).__name__

    @property
    def problems(self) -> list[str]:
        """Everything that was found to be wrong."""
        return [text for one in self.measured.values() for text in one.problems]


def make_systems(
    options: argparse.Namespace, folder: Path, indexer: Indexer
) -> list[System]:
    """The modes and peers that were asked for; a peer may be left out from the start."""
    ours = Ours(indexer, options.rounds)
    systems = [
        System(mode, partial(ours.answer, mode), is_ours=True) for mode in options.modes
    ]
    # Our index stands in the tree that all systems share, and is removed before these run.
    if "words" in options.peers:
        systems.append(System("words", without_index(answer_by_words)))
    if "dense-plain" in options.peers:
        plain = partial(answer_plainly, indexer.cache)
        systems.append(System("dense-plain", without_index(plain)))
    if "semble" in options.peers:
        systems += semble_systems(options, folder)
    return systems


def without_index(
    answer: Callable[[Entry, Path], Measured],
) -> Callable[[Entry, Path], Measured]:
    """Remove our index before a peer answers, so that the peer does not find it."""

    def answer_without(entry: Entry, sources: Path) -> Measured:
        shutil.rmtree(sources / ".codx", ignore_errors=True)
        return answer(entry, sources)

    return answer_without


def rooted(entry: Entry, files: Sequence[str]) -> tuple[str, ...]:
    """Turn paths below the root into paths in the repository, like those of the labels."""
    return tuple(posixpath.join(entry.root, file) for file in files)


class Ours:
    """The installed codx-index."""

    def __init__(self, indexer: Indexer, rounds: int) -> None:
        self._indexer = indexer
        self._rounds = rounds
        self._built: tuple[str, str, float, int] | None = None

    def answer(self, mode: str, entry: Entry, sources: Path) -> Measured:
        """Index the sources, unless another mode has done so, and ask all queries."""
        from indexer import Index

        kind = "sparse" if mode == "sparse" else "hybrid"
        if self._built is None or self._built[:2] != (entry.name, kind):
            self._built = (entry.name, kind, *self._build(entry, sources, kind))
        _, _, seconds, chunks = self._built
        problems = []
        first = []
        with Index.open(sources, cache_dir=str(self._indexer.cache)) as index:

            def ask(query: str) -> list[tuple[str, int]]:
                hits = index.search(query, limit=BEST, mode=mode)
                return [(hit.path, hit.start_line) for hit in hits]

            ask(entry.queries[0].query)  # loads the model before anything is timed
            answers = [timed(entry, query.query, ask) for query in entry.queries]
            for query in some(entry.queries):
                # As for most users, no other process has the database open then.
                index.close()
                wall, found = self._first(query.query, sources, mode)
                first.append(wall)
                if found != ask(query.query):
                    problems.append(
                        f"{entry.name}, {mode}: the command and the interface differ "
                        f"on {query.query!r}"
                    )
        return Measured(tuple(answers), seconds, chunks, tuple(first), tuple(problems))

    def _build(self, entry: Entry, sources: Path, kind: str) -> tuple[float, int]:
        """Make first indexes with no embedding in the cache.

        Returns the median of their seconds and the number of chunks.
        """
        walls = []
        chunks = 0
        for _ in range(self._rounds):
            shutil.rmtree(sources / ".codx", ignore_errors=True)
            indexer = emptied(self._indexer, self._indexer.cache)
            command = (COMMAND, "run", "--mode", kind, "--json", "--", sources)
            ended = measure(*command, variables=indexer.variables())
            if ended.code:
                problem = ended.errors.strip() or ended.output
                raise Unexpected(
                    f"{entry.name}: codx-index run ended with {ended.code}: {problem}"
                )
            walls.append(ended.usage.wall)
            chunks = int(json.loads(ended.output)["chunks"]["total"])
        return median(walls), chunks

    def _first(
        self, query: str, sources: Path, mode: str
    ) -> tuple[float, list[tuple[str, int]]]:
        """Let the command answer a query; return the seconds and the hits."""
        ended = measure(
            *(COMMAND, "search", "--mode", mode, "--limit", str(BEST), "--json"),
            *("--", query, sources),
            variables=self._indexer.variables(),
        )
        if ended.code:
            raise Unexpected(
                f"codx-index search ended with {ended.code}: {last_line(ended)}"
            )
        hits = json.loads(ended.output)["hits"]
        return ended.usage.wall, [(hit["path"], hit["start_line"]) for hit in hits]


def timed(
    entry: Entry, query: str, ask: Callable[[str], list[tuple[str, int]]]
) -> Answer:
    """The answer to a query, with the time it took."""
    started = time.perf_counter()
    found = ask(query)
    seconds = time.perf_counter() - started
    return Answer(rooted(entry, [path for path, _ in found]), seconds)


def some(queries: Sequence[Query]) -> list[Query]:
    """A few queries, spread over the list."""
    last = len(queries) - 1
    places = {last * number // (PROCESSES - 1) for number in range(PROCESSES)}
    return [queries[place] for place in sorted(places)]


# ---- Peers: words ----


def answer_by_words(entry: Entry, sources: Path) -> Measured:
    """Answer like ripgrep, which has no index and reads every file for every query."""
    answers = []
    for query in entry.queries:
        started = time.perf_counter()
        files = by_words(query.query, dict(texts_of(sources)))
        seconds = time.perf_counter() - started
        answers.append(Answer(rooted(entry, files[:BEST]), seconds))
    return Measured(tuple(answers))


def by_words(query: str, texts: Mapping[str, str]) -> list[str]:
    """The paths of the texts that contain words of the query, best first.

    The number of distinct words decides, then the number of matches. Case is ignored.
    """
    words = query_words(query)
    scores = {}
    for path, text in texts.items():
        lowered = text.lower()
        counts = [lowered.count(word) for word in words]
        if any(counts):
            scores[path] = sum(count > 0 for count in counts), sum(counts)
    return sorted(scores, key=lambda path: (-scores[path][0], -scores[path][1], path))


def query_words(query: str) -> list[str]:
    """The distinct words in lower case, without stop words unless there are only those."""
    words = list(dict.fromkeys(re.findall(r"\w+", query.lower())))
    return [word for word in words if word not in STOP_WORDS] or words


def texts_of(sources: Path) -> Iterator[tuple[str, str]]:
    """The path and the text of each file that is neither binary nor too large to index."""
    from indexer.config import DEFAULT_MAX_FILE_SIZE

    for path in sorted(sources.rglob("*")):
        if path.is_symlink() or not path.is_file():
            continue
        data = path.read_bytes()
        if len(data) <= DEFAULT_MAX_FILE_SIZE and b"\0" not in data:
            yield str(path.relative_to(sources)), data.decode(errors="replace")


# ---- Peers: plain vectors ----


def answer_plainly(cache: Path, entry: Entry, sources: Path) -> Measured:
    """Answer like a short script with a sentence-transformers model.

    Our own embedder computes the vectors, because it gives the same ones faster.
    """
    from indexer.config import DEFAULT_MODEL
    from indexer.vectors.choice import choose_backend
    from indexer.vectors.embedders import load_embedder
    from indexer.vectors.model import resolve_model

    started = time.perf_counter()
    model = resolve_model(DEFAULT_MODEL, str(cache))
    backend = choose_backend(model, str(cache), convert=True)
    embedder = load_embedder(backend, len(os.sched_getaffinity(0)))
    chunks = [
        (path, piece)
        for path, text in texts_of(sources)
        for piece in pieces(text, PLAIN_CHARACTERS)
    ]
    vectors = embedder.encode([piece for _, piece in chunks]).vectors
    index_seconds = time.perf_counter() - started
    answers = []
    for query in entry.queries:
        started = time.perf_counter()
        cosines = vectors @ embedder.encode_query(query.query)
        best = dict.fromkeys(
            chunks[number][0] for number in np.argsort(-cosines, kind="stable")
        )
        seconds = time.perf_counter() - started
        answers.append(Answer(rooted(entry, list(best)[:BEST]), seconds))
    return Measured(tuple(answers), index_seconds, len(chunks))


def pieces(text: str, length: int) -> list[str]:
    """Cut a text into pieces of so many characters, dropping blank ones."""
    found = [text[start : start + length] for start in range(0, len(text), length)]
    return [piece for piece in found if piece.strip()]


# ---- Peers: semble ----

# A process that runs in semble's environment, stays, and answers all queries.
_ASK_SEMBLE = """
import json, sys, time
from semble import ContentType, SembleIndex

root, model, path = sys.argv[1:]
with open(path, encoding="utf-8") as file:
    asked = json.load(file)
index = SembleIndex.from_path(root, content=ContentType.CODE, model_path=model)
index.search(asked["queries"][0], top_k=asked["chunks"][0])
answers = {}
for most in asked["chunks"]:
    answers[most] = found = []
    for query in asked["queries"]:
        started = time.perf_counter()
        hits = index.search(query, top_k=most)
        seconds = time.perf_counter() - started
        files = list(dict.fromkeys(hit.chunk.file_path for hit in hits))
        found.append([files, seconds])
print(json.dumps({"chunks": len(index.chunks), "answers": answers}))
"""

_DISTILL = """
import sys
import torch
from model2vec.distill import distill

torch.set_num_threads(1)
distill(model_name=sys.argv[1], pca_dims=256, device="cpu").save_pretrained(sys.argv[2])
"""


class Semble:
    """semble's command and, for the queries after the first, its Python interface."""

    def __init__(self, environment: Path, model: Path, folder: Path) -> None:
        self._bin = environment / "bin"
        self._model = model
        self._folder = folder
        self._last: tuple[str, dict[int, Measured]] = ("", {})

    def answer(self, most: int, entry: Entry, sources: Path) -> Measured:
        """The answers when semble is asked for so many chunks."""
        if self._last[0] != entry.name:
            self._last = entry.name, self._ask(entry, sources)
        return self._last[1][most]

    def _ask(self, entry: Entry, sources: Path) -> dict[int, Measured]:
        # Its cache knows a model by its path alone, so each repository gets a new cache.
        cache = self._folder / "cache"
        shutil.rmtree(cache, ignore_errors=True)
        cache.mkdir(parents=True)
        walls = [
            self._search(query.query, sources)
            for query in (entry.queries[0], *some(entry.queries))
        ]
        asked = self._folder / "asked.json"
        queries = [query.query for query in entry.queries]
        asked.write_text(json.dumps({"queries": queries, "chunks": SEMBLE_CHUNKS}))
        output = self._call("python", "-c", _ASK_SEMBLE, sources, self._model, asked)
        found = json.loads(output)
        return {
            most: Measured(
                tuple(
                    Answer(rooted(entry, files[:BEST]), seconds)
                    for files, seconds in found["answers"][str(most)]
                ),
                walls[0],  # The first process makes the index and answers.
                found["chunks"],
                tuple(walls[1:]),
            )
            for most in SEMBLE_CHUNKS
        }

    def _search(self, query: str, sources: Path) -> float:
        """The seconds that its command takes for a query."""
        started = time.perf_counter()
        self._call("semble", "search", "--top-k", str(BEST), "--", query, sources)
        return time.perf_counter() - started

    def _call(self, program: str, *arguments: str | Path) -> str:
        variables = {
            **os.environ,
            **OFFLINE,
            "SEMBLE_MODEL_NAME": str(self._model),
            "SEMBLE_CACHE_LOCATION": str(self._folder / "cache"),
        }
        limited = ("timeout", "--signal=KILL", str(SEMBLE_LIMIT), self._bin / program)
        ended = measure(*limited, *arguments, variables=variables)
        if ended.code:
            raise Unexpected(f"{program} ended with {ended.code}: {last_line(ended)}")
        return ended.output


def semble_systems(options: argparse.Namespace, folder: Path) -> list[System]:
    """semble asked for ten chunks and for more, or one left-out system if it cannot run."""
    failure = ""
    versions: list[str] = []
    environments = (options.environments or default_environments()).absolute()
    environment = environments / "semble"
    model = Path()
    if options.semble_model is None:
        failure = (
            "it needs a static model: --semble-model FOLDER, and --distill to make it"
        )
    else:
        model = options.semble_model.absolute()
        try:
            install(environment, SEMBLE, lambda: None)
            freeze = measure(environment / "bin" / "python", "-m", "pip", "freeze")
            names = {requirement.split("==")[0] for requirement in SEMBLE}
            lines = freeze.output.split()
            versions = [line for line in lines if line.split("==")[0] in names]
        except (Unexpected, OSError, subprocess.SubprocessError) as error:
            failure = " ".join(str(error).split())[:300]
    semble = Semble(environment, model, folder / "semble")
    systems = [
        System(
            "semble" if most == BEST else f"semble, {most} chunks",
            without_index(partial(semble.answer, most)),
            failure=failure,
            versions=versions,
        )
        for most in SEMBLE_CHUNKS
    ]
    return systems[:1] if failure else systems


def check_model(options: argparse.Namespace) -> None:
    """Raise `Refused` when the given folder holds no static model."""
    folder = options.semble_model
    if folder is None or options.distill or "semble" not in options.peers:
        return
    if not (folder / "model.safetensors").is_file():
        raise Refused(
            f"--semble-model: there is no static model in {folder}: --distill makes one"
        )


def distill(target: Path, folder: Path) -> None:
    """Make a static model from the one that we use, unless it exists.

    The packages for it are installed into their own folder; torch is the one installed here.
    """
    if (target / "model.safetensors").exists():
        return
    print("distilling a static model …", file=sys.stderr)
    packages = folder / "distiller"
    variables = {**os.environ, **OFFLINE, "PYTHONPATH": str(packages)}
    pip = (sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target")
    script = (sys.executable, "-c", _DISTILL, model_folder(), target.absolute())
    for command, environment in (
        ((*pip, packages, *DISTILLER), None),
        (script, variables),
    ):
        ended = measure(*command, variables=environment)
        if ended.code:
            raise Unexpected(f"no static model can be made: {last_line(ended)}")


# ---- Results ----


def system_results(system: System, entries: Sequence[Entry]) -> dict[str, Any]:
    """Everything known about a system, or why it is left out, for a JSON file."""
    about = {
        "name": system.name,
        "failure": system.failure,
        "versions": system.versions,
        "note": DISTILLED if system.name.startswith("semble") else "",
    }
    if system.failure:
        return about
    rows = [
        {
            "repository": entry.name,
            "query": query.query,
            "category": query.category,
            "files": answer.files,
            "seconds": answer.seconds,
            **asdict(score(answer.files, query.labels)),
        }
        for entry in entries
        for query, answer in zip(
            entry.queries, system.measured[entry.name].answers, strict=True
        )
    ]
    repositories = _groups(rows, "repository")
    measured = system.measured
    # The first query is left out, although an untimed one has warmed the process up.
    later = [
        answer.seconds
        for one in measured.values()
        for answer in one.answers[1:] or one.answers
    ]
    first = [seconds for one in measured.values() for seconds in one.first]
    indexed = [one.index_seconds for one in measured.values()]
    return {
        **about,
        "overall": _summary(rows),
        "repositories_mean": {
            name: mean([one[name] for one in repositories.values()]) for name in MEANS
        },
        "categories": _groups(rows, "category"),
        "repositories": {
            name: {
                **summary,
                "index_seconds": measured[name].index_seconds,
                "chunks": measured[name].chunks,
                "first_seconds": measured[name].first,
            }
            for name, summary in repositories.items()
        },
        "first_seconds": median(first) if first else None,
        "median_seconds": median(later),
        "index_seconds": (
            math.fsum(filter(None, indexed)) if None not in indexed else None
        ),
        "queries": rows,
    }


def _groups(rows: Sequence[dict[str, Any]], name: str) -> dict[str, dict[str, Any]]:
    """The scores for each value of a field, in the order of first appearance."""
    values = dict.fromkeys(row[name] for row in rows)
    return {
        value: _summary([row for row in rows if row[name] == value]) for value in values
    }


def _summary(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    low, high = interval([row["ndcg"] for row in rows])
    means = {name: mean([row[name] for row in rows]) for name in MEANS}
    return {"queries": len(rows), **means, "ndcg_low": low, "ndcg_high": high}


def table(results: Sequence[dict[str, Any]], entries: Sequence[Entry]) -> Iterator[str]:
    """The scores and costs of all systems, then their NDCG for each repository."""
    queries = [query for entry in entries for query in entry.queries]
    categories = sorted({query.category for query in queries})
    yield (
        f"{len(queries)} queries, {len(entries)} repositories; NDCG@{BEST} with its 95% "
        "interval, by category and as a mean over repositories"
    )
    yield (
        f"\n{'':18}{'NDCG':>6}{'95%':>14}{'Hit@1':>7}{'MRR':>7}{'recall':>8}"
        + "".join(f"{category[:12]:>13}" for category in categories)
        + f"{'repos':>7}{'first s':>9}{'ms':>8}{'index s':>9}"
    )
    for one in results:
        if one["failure"]:
            yield f"{one['name']:18}left out: {one['failure']}"
            continue
        overall = one["overall"]
        found = "".join(
            f"{one['categories'][category]['ndcg']:13.3f}" for category in categories
        )
        yield (
            f"{one['name']:18}{overall['ndcg']:6.3f}"
            f"{overall['ndcg_low']:8.3f}-{overall['ndcg_high']:.3f}"
            f"{overall['hit']:7.3f}{overall['mrr']:7.3f}{overall['recall']:8.3f}{found}"
            f"{one['repositories_mean']['ndcg']:7.3f}{_shown(one['first_seconds'], 9)}"
            f"{_shown(1000 * one['median_seconds'], 8, 1)}"
            f"{_shown(one['index_seconds'], 9, 1)}"
        )
    if len(entries) > 1:
        yield f"\n{'NDCG':18}" + "".join(f"{entry.name[:12]:>13}" for entry in entries)
        for one in results:
            if not one["failure"]:
                yield f"{one['name']:18}" + "".join(
                    f"{one['repositories'][entry.name]['ndcg']:13.3f}"
                    for entry in entries
                )
    if any(one["note"] and not one["failure"] for one in results):
        yield f"\n{DISTILLED}."


def _shown(value: float | None, width: int, digits: int = 2) -> str:
    return f"{'-':>{width}}" if value is None else f"{value:{width}.{digits}f}"


if __name__ == "__main__":
    try:
        main()
    except Refused as error:
        print(error, file=sys.stderr)
        sys.exit(2)
    except Unexpected as error:
        sys.exit(str(error))
