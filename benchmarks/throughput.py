"""How fast does a run embed, and how close does that come to what the machine can do?

Indexes a copy of a project with the installed command, and embeds the very same texts

- with `SentenceTransformer.encode` and its defaults (fp32, batches of 32, all threads),
- with the multi-process pool of sentence-transformers, one process per core,
- with the workers of codx-index alone, in the batches that a run makes.

    python benchmarks/throughput.py [PATH] [--files N] [--sample N] [--rounds N] [--jobs N]
        [--precision f32,bf16] [--sizes 512,1024] [--cache-dir FOLDER] [--json FILE]

By default the project is part of Python's standard library, and codx-index chooses the
precision. A text that occurs in several chunks is embedded, and counted, once.

The ways take turns, each in a process of its own. Each has loaded its model beforehand, except
the run, which is measured from the start of its process to the end. Figures are medians over
the rounds; the ratio is the median of the ratios of the two rates in each round.
sentence-transformers embeds a sample (`--sample`, 0: everything) that is evenly spread over
the lengths of the texts.

Tokens are those of the texts, special ones included. Only these count as work, with attention
computed from the length of each text; what a way computes on padding does not. The peak is the
best rate at which matrices (of `--sizes` rows) are multiplied here, by OpenVINO or by torch.
Cosines compare with the vectors of `encode`, over the sample.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import math
import os
import random
import sys
import sysconfig
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path
from statistics import mean
from typing import TYPE_CHECKING, Any

import numpy as np
from common import (
    STATE,
    Indexer,
    Run,
    Unexpected,
    headline,
    median,
    prepared,
    surroundings,
    write_json,
)
from first_index import copy_files
from replay import read_rows
from updates import first_run, measure_start, numbers

from indexer.config import DEFAULT_MODEL
from indexer.pool.cpus import available_cpus
from indexer.types import Chunk
from indexer.vectors.backend import OPENVINO, Backend, ModelInfo
from indexer.vectors.choice import choose_backend
from indexer.vectors.library import load_sentence_transformer
from indexer.vectors.model import resolve_model
from indexer.vectors.tokenizer import load_tokenizer
from indexer.work import worker
from indexer.work.workers import CPU_TASK, open_executor

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from numpy.typing import NDArray

    Vectors = NDArray[np.float32]
    Embed = Callable[[], tuple[Vectors, int]]  # the vectors, and the tokens computed
    Load = Callable[..., AbstractContextManager[Embed]]

PRECISION = "CODX_INDEX_PRECISION"
LIBRARIES = ("torch", "sentence-transformers", "transformers", "tokenizers")
BATCH = 32  # the default of `encode`
POOL_TASKS = 10  # sentence-transformers makes so many for each process of a pool
WARM_UP = 64  # texts for each process; while it embeds them the other processes start
SIZES = [512, 1_024, 2_048]  # rows and columns of the matrices
PRODUCTS = 8  # in a row, so that converting the first and the last hardly counts
WINDOWS = 4  # the best one counts
WINDOW = 0.05  # seconds
PRECISIONS = ("bf16", "f32")
MULTIPLIERS = ("openvino", "torch")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("path", nargs="?", default=sysconfig.get_path("stdlib"))
    parser.add_argument("--files", type=int, default=100, help="0: all")
    parser.add_argument("--sample", type=int, default=600, help="texts; 0: all")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=0)
    parser.add_argument("--precision", default=os.environ.get(PRECISION) or "auto")
    parser.add_argument("--sizes", type=numbers, default=SIZES, help="of matrices")
    parser.add_argument("--cache-dir", type=Path, help="where the converted model is")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        benchmark(Path(folder), options)


def benchmark(folder: Path, options: argparse.Namespace) -> None:
    print(headline(), flush=True)
    copy_files(Path(options.path), folder / "project", options.files)
    products = all_prepared(folder, options)
    project = read_project(products[0], options.sample)
    print(project.summary(), flush=True)
    jobs = options.jobs or available_cpus()
    plain = encode_way(project)
    ways = [plain, pool_way(project, jobs)]
    ways += [way for product in products for way in product.ways(project, jobs)]
    peak = Peak(options.sizes)
    with ExitStack() as stack:
        for way in ways:
            stack.callback(way.end)
            way.begin()
        stack.callback(peak.end)
        for number in range(options.rounds):
            peak.measure()
            for way in ways:
                way.measure()
            print(f"round {number + 1} of {options.rounds} is done", flush=True)
    print(peak.table())
    print(table(ways, plain, peak))
    for product in products:
        print(product.summary())
    write_json(options.json, results(project, peak, ways, plain, products))


# ---- What is embedded ----


@dataclass(frozen=True, slots=True)
class Texts:
    """Texts, and how many tokens each has."""

    texts: list[str]
    tokens: list[int]

    def __len__(self) -> int:
        return len(self.texts)

    def take(self, indices: Sequence[int]) -> Texts:
        return Texts(
            [self.texts[index] for index in indices],
            [self.tokens[index] for index in indices],
        )


@dataclass(frozen=True, slots=True)
class Project:
    """The different texts of a project's chunks, in the order of the files.

    `picked` holds the indices of the texts in the sample.
    """

    files: int
    chunks: int
    all: Texts
    picked: list[int]
    model: ModelInfo
    sizes: Sizes

    @property
    def sample(self) -> Texts:
        return self.all.take(self.picked)

    def summary(self) -> str:
        tokens = self.all.tokens
        work = self.sizes.flop(tokens) / sum(tokens) / 1e6
        return (
            f"{self.files:,} files, {self.chunks:,} chunks, {len(self.all):,} different "
            f"texts, {len(self.picked):,} of them in the sample\n{min(tokens)} to "
            f"{max(tokens)} tokens, {mean(tokens):.0f} on average "
            f"({mean(self.sample.tokens):.0f} in the sample), {work:.1f} MFLOP a token"
        )


@dataclass(frozen=True, slots=True)
class Sizes:
    """The dimensions that decide how much a transformer like BERT computes."""

    layers: int
    hidden: int
    intermediate: int

    def flop(self, tokens: Sequence[int]) -> float:
        """Floating-point operations for texts of so many tokens.

        A multiplication and an addition are two operations. Only matrix products count,
        because the rest is negligible beside them. The number of heads does not matter,
        because together they are as wide as the layer.
        """
        # Query, key, value and output; up and down.
        layer = 2 * (4 * self.hidden**2 + 2 * self.hidden * self.intermediate)
        # Scores, and the values weighted with them.
        pair = 2 * 2 * self.hidden
        return float(self.layers * sum(n * (layer + n * pair) for n in tokens))


def read_sizes(model: ModelInfo) -> Sizes:
    with open(os.path.join(model.folder, "config.json"), encoding="utf-8") as file:
        config = json.load(file)
    names = ("num_hidden_layers", "hidden_size", "intermediate_size")
    return Sizes(*(int(config[name]) for name in names))


def read_project(product: Product, size: int) -> Project:
    """Index the project once to learn its chunks."""
    run = product.run("a run before the first round")
    texts = list(read_vectors(product.root))
    if not texts:
        raise Unexpected("the project has no text to embed")
    if len(texts) != run.count("chunks.embedded"):
        embedded = run.count("chunks.embedded")
        raise Unexpected(f"{len(texts)} different texts, but {embedded} were embedded")
    model = product.backend.model
    counts = load_tokenizer(model).count(texts)
    if max(counts) > model.max_tokens:
        raise Unexpected(f"a text of {max(counts)} tokens is too long for the model")
    return Project(
        run.count("files.scanned"),
        run.count("chunks.total"),
        Texts(texts, counts),
        spread(counts, size or len(texts)),
        model,
        read_sizes(model),
    )


def spread(tokens: Sequence[int], size: int) -> list[int]:
    """Indices of so many texts, evenly spaced by length, in random order."""
    by_length = sorted(range(len(tokens)), key=lambda index: tokens[index])
    size = min(size, len(tokens))
    picked = [by_length[len(tokens) * (2 * n + 1) // (2 * size)] for n in range(size)]
    random.Random(0).shuffle(picked)
    return picked


def read_vectors(root: Path) -> dict[str, bytes]:
    """The different texts of an index that have vectors, in the order of its files, with these.

    Another process reads them, because here the database's libraries and their threads
    would stay.
    """
    with one_process() as process:
        return process.submit(_read_vectors, root / STATE).result()


def _read_vectors(state: Path) -> dict[str, bytes]:
    rows = read_rows(state).values()
    found: dict[str, bytes] = {}
    for row in sorted(rows, key=lambda row: (row["path"], row["chunk_no"])):
        if not row["embedded"]:
            continue
        chunk = Chunk(
            row["start_line"], row["end_line"], row["symbol"], row["text"], tokens=0
        )
        found.setdefault(chunk.embedded_text, row["vector"])
    return found


# ---- Processes ----


def one_process() -> ProcessPoolExecutor:
    """A new process in which functions can be called."""
    return ProcessPoolExecutor(1, get_context("spawn"))


_kept = ExitStack()  # what such a process closes at its end
_embed: Embed | None = None


def _begin(texts: Texts, load: Load, arguments: tuple[Any, ...]) -> None:
    global _embed
    _embed = _kept.enter_context(load(texts, *arguments))


def _timed() -> tuple[float, Vectors, int]:
    assert _embed is not None
    started = time.perf_counter()
    vectors, computed = _embed()
    return time.perf_counter() - started, vectors, computed


def _end() -> None:
    _kept.close()


@contextmanager
def encode(texts: Texts, folder: str) -> Iterator[Embed]:
    """`SentenceTransformer.encode` with its defaults."""
    model = load_sentence_transformer(folder, "cpu", "f32")
    computed = padded(texts)

    def embed() -> tuple[Vectors, int]:
        return model.encode(texts.texts, show_progress_bar=False), computed

    model.encode(texts.texts[:WARM_UP], show_progress_bar=False)
    yield embed


@contextmanager
def encode_in_pool(texts: Texts, folder: str, jobs: int, size: int) -> Iterator[Embed]:
    """`encode` with the library's own multi-process pool, `size` texts per task."""
    model = load_sentence_transformer(folder, "cpu", "f32")
    indices = range(len(texts))
    starts = range(0, len(texts), size)
    computed = sum(padded(texts.take(indices[n : n + size])) for n in starts)
    pool = model.start_multi_process_pool(["cpu"] * jobs)

    def embed() -> tuple[Vectors, int]:
        vectors = model.encode(
            texts.texts, pool=pool, chunk_size=size, show_progress_bar=False
        )
        return vectors, computed

    try:
        some = [texts.texts[n % len(texts)] for n in range(WARM_UP * jobs)]
        model.encode(some, pool=pool, chunk_size=WARM_UP, show_progress_bar=False)
        yield embed
        for _ in pool["processes"]:
            pool["input"].put(_Leave())
        for process in pool["processes"]:
            process.join()
    finally:
        model.stop_multi_process_pool(pool)


class _Leave:
    """Ends the process that reads it.

    The library would kill its processes, and each would leave a lock of tqdm's behind, about
    which Python complains.
    """

    def __reduce__(self) -> tuple[Callable[[], object], tuple[()]]:
        return sys.exit, ()


def padded(texts: Texts) -> int:
    """How many tokens `encode` computes: it sorts by characters and pads each batch."""
    by_length = np.argsort([-len(text) for text in texts.texts])
    tokens = np.array(texts.tokens)[by_length]
    batches = [tokens[start : start + BATCH] for start in range(0, len(tokens), BATCH)]
    return sum(int(batch.max()) * len(batch) for batch in batches)


@contextmanager
def embed_in_workers(texts: Texts, backend: Backend, jobs: int) -> Iterator[Embed]:
    """The workers of codx-index, with the tasks of a run."""
    tasks = list(run_tasks(texts.tokens, jobs))
    with open_executor("process", jobs, backend) as executor:

        def submitted(task: list[int]) -> Future[worker.EmbeddedBatch]:
            return executor.submit(worker.embed_texts, texts.take(task).texts)

        def embed() -> tuple[Vectors, int]:
            vectors = np.empty((len(texts), backend.model.dimension), np.float32)
            computed = 0
            sent = [submitted(task) for task in tasks]
            for task, future in zip(tasks, sent, strict=True):
                batch = future.result()
                vectors[task] = batch.vectors
                computed += batch.tokens + batch.padding
            return vectors, computed

        for future in [submitted(tasks[n % len(tasks)]) for n in range(2 * jobs)]:
            future.result()
        yield embed


def run_tasks(tokens: Sequence[int], jobs: int) -> Iterator[list[int]]:
    """Indices of texts, in the tasks that a run makes of them.

    Each generation of tasks is sorted by length, and the last one is cut evenly.
    """
    generation = 2 * jobs * CPU_TASK
    for start in range(0, len(tokens), generation):
        indices = list(range(start, min(start + generation, len(tokens))))
        indices.sort(key=lambda index: -tokens[index])
        size = max(math.ceil(len(indices) / (2 * jobs)), 4)
        for first in range(0, len(indices), size):
            yield indices[first : first + size]


# ---- Ways to embed ----


@dataclass(slots=True)
class Way:
    """A way to embed the texts, and how long it took in each round.

    `is_sample` says whether it embeds only the sample; `computed` is the number of tokens that
    it computes, padding included.
    """

    name: str
    project: Project
    is_sample: bool = False
    computed: int = 0
    seconds: list[float] = field(default_factory=list)
    vectors: Vectors | None = None

    @property
    def texts(self) -> Texts:
        return self.project.sample if self.is_sample else self.project.all

    def begin(self) -> None:
        """Do what is not measured, before the first round."""

    def measure(self) -> None:
        """Embed everything once."""
        raise NotImplementedError

    def end(self) -> None:
        """Release what `begin` has taken."""

    # ---- Figures ----

    def rates(self) -> list[float]:
        """Texts per second in each round."""
        return [len(self.texts) / seconds for seconds in self.seconds]

    @property
    def tokens_a_second(self) -> float:
        return sum(self.texts.tokens) / median(self.seconds)

    @property
    def gflops(self) -> float:
        flop = self.project.sizes.flop(self.texts.tokens)
        return flop / median(self.seconds) / 1e9

    @property
    def padding(self) -> float:
        """The share of padding in the computed tokens."""
        return 1 - sum(self.texts.tokens) / self.computed

    def ratio(self, other: Way) -> float:
        pairs = zip(self.rates(), other.rates(), strict=True)
        return median([mine / its for mine, its in pairs])

    def cosines(self, other: Way) -> Vectors:
        """The cosines between the vectors of two ways, over the sample."""
        mine, its = self._of_sample(), other._of_sample()
        norms = np.linalg.norm(mine, axis=1) * np.linalg.norm(its, axis=1)
        found: Vectors = (mine * its).sum(axis=1) / norms
        return found

    def _of_sample(self) -> NDArray[np.float64]:
        assert self.vectors is not None
        vectors = self.vectors.astype(np.float64)
        return vectors if self.is_sample else vectors[self.project.picked]

    def as_dict(self, other: Way, peak: float) -> dict[str, Any]:
        """The figures of this way, compared with `other`; `peak` is in GFLOP/s."""
        cosines = self.cosines(other)
        return {
            "name": self.name,
            "texts": len(self.texts),
            "tokens": sum(self.texts.tokens),
            "seconds": {"median": median(self.seconds), "samples": self.seconds},
            "texts_per_second": median(self.rates()),
            "tokens_per_second": self.tokens_a_second,
            "gflops": self.gflops,
            "ratio": self.ratio(other),
            "share_of_peak": self.gflops / peak,
            "padding": self.padding,
            "cosine": {"mean": float(cosines.mean()), "min": float(cosines.min())},
        }


@dataclass(slots=True)
class Library(Way):
    """A library, in a process that loads its model before the first round.

    In that process `load(texts, *arguments)` gives the function that embeds.
    """

    load: Load = encode
    arguments: tuple[Any, ...] = ()
    process: ProcessPoolExecutor = field(default_factory=one_process)

    def begin(self) -> None:
        self.process.submit(_begin, self.texts, self.load, self.arguments).result()

    def measure(self) -> None:
        found = self.process.submit(_timed).result()
        seconds, self.vectors, self.computed = found
        self.seconds.append(seconds)

    def end(self) -> None:
        self.process.submit(_end).result()
        self.process.shutdown()


@dataclass(slots=True)
class Command(Way):
    """The installed command, from the start of its process to the end of it."""

    product: Product | None = None

    def measure(self) -> None:
        assert self.product is not None
        run = self.product.run(self.name)
        tokens = run.count("chunks.tokens")
        if tokens != sum(self.texts.tokens):
            raise Unexpected(f"{self.name}: {tokens} tokens were embedded, not all")
        self.computed = tokens + run.count("chunks.padding")
        self.product.runs.append(run)
        self.seconds.append(run.usage.wall)
        if self.vectors is None:
            found = read_vectors(self.product.root)
            rows = b"".join(found[text] for text in self.texts.texts)
            self.vectors = np.frombuffer(rows, np.float32).reshape(len(found), -1)


def encode_way(project: Project) -> Way:
    return Library(
        "sentence-transformers",
        project,
        is_sample=True,
        load=encode,
        arguments=(project.model.folder,),
    )


def pool_way(project: Project, jobs: int) -> Way:
    size = pool_task_size(len(project.all), len(project.picked), jobs)
    return Library(
        f"its pool of {jobs} processes",
        project,
        is_sample=True,
        load=encode_in_pool,
        arguments=(project.model.folder, jobs, size),
    )


def pool_task_size(total: int, size: int, jobs: int) -> int:
    """How many texts each task of sentence-transformers' pool gets.

    About as many as if all texts were embedded, because small tasks leave little to sort and
    have much padding. Each process gets the same number of tasks, so that none ends alone.
    """
    tasks = max(1, round(POOL_TASKS * size / total))
    return math.ceil(size / (tasks * jobs))


# ---- codx-index ----


@dataclass(slots=True)
class Product:
    """codx-index in one precision; `starts` are runs that have almost nothing to embed."""

    root: Path
    indexer: Indexer
    backend: Backend
    asked: str
    starts: list[Run]
    runs: list[Run] = field(default_factory=list)
    found: list[Way] = field(default_factory=list)

    @property
    def name(self) -> str:
        other = "" if self.backend.kind == OPENVINO else f", {self.backend.kind}"
        return f"{self.backend.precision}{other}"

    def run(self, scenario: str) -> Run:
        """Index the project from scratch, with no embedding in the cache."""
        os.environ[PRECISION] = self.asked
        return first_run(self.root, self.indexer, scenario)

    def ways(self, project: Project, jobs: int) -> list[Way]:
        """The workers alone, and the command."""
        self.found = [
            Library(
                f"{jobs} workers alone, {self.name}",
                project,
                load=embed_in_workers,
                arguments=(self.backend, jobs),
            ),
            Command(f"codx-index run, {self.name}", project, product=self),
        ]
        return self.found

    def summary(self) -> str:
        """Says where the time of a run goes."""
        workers, command = self.found
        wall, start = median(command.seconds), self.start
        alone = median(workers.seconds)
        return (
            f"{command.name}: {wall:.1f} s, of which {start:.1f} s ({start / wall:.0%}) to "
            f"start processes, imports, models and a collection; the workers alone take "
            f"{alone:.1f} s ({alone / wall:.0%}) for its texts"
        )

    @property
    def start(self) -> float:
        return median([run.usage.wall for run in self.starts])

    def as_dict(self) -> dict[str, Any]:
        return {
            "asked": self.asked,
            "kind": self.backend.kind,
            "precision": self.backend.precision,
            "start": {
                "median": self.start,
                "samples": [run.as_dict() for run in self.starts],
            },
            "runs": [run.as_dict() for run in self.runs],
        }


def all_prepared(folder: Path, options: argparse.Namespace) -> list[Product]:
    """codx-index in each precision, its model converted; prints which ones it lacks."""
    products = []
    for number, asked in enumerate(options.precision.split(",")):
        own = folder / f"precision-{number}"
        own.mkdir()
        try:
            products.append(product_of(own, folder / "project", asked, options))
        except Unexpected as error:
            print(f"left out: {asked}: {error}", flush=True)
    if not products:
        raise Unexpected("there is no precision to measure")
    return products


def product_of(
    own: Path, project: Path, asked: str, options: argparse.Namespace
) -> Product:
    os.environ[PRECISION] = asked
    indexer = prepared(own, options.cache_dir, options.jobs)
    # The run's own cache folder only links to the models, and is emptied before each run.
    cache = str((indexer.cache / "models").resolve().parent)
    model = resolve_model(DEFAULT_MODEL, cache)
    backend = choose_backend(model, cache, asked, convert=False)
    starts = measure_start(own / "start", indexer, options.rounds)
    return Product(project, indexer, backend, asked, starts)


# ---- The peak ----


class Peak:
    """The best rates (GFLOP/s) at which matrices are multiplied here, round by round."""

    def __init__(self, sizes: Sequence[int]) -> None:
        self._sizes = sizes
        self._processes = {library: one_process() for library in MULTIPLIERS}
        self.cores = available_cpus()
        self.found: list[dict[str, Any]] = []

    def measure(self) -> None:
        for library, process in self._processes.items():
            for precision in PRECISIONS:
                for cores in sorted({1, self.cores}):
                    best = process.submit(
                        multiply, library, precision, cores, self._sizes
                    )
                    what = {"library": library, "precision": precision, "cores": cores}
                    self.found.append({**what, "gflops": best.result()})

    def end(self) -> None:
        for process in self._processes.values():
            process.shutdown()

    def best(self, precision: str, cores: int) -> dict[str, Any]:
        wanted = (precision, cores)
        found = [
            one for one in self.found if (one["precision"], one["cores"]) == wanted
        ]
        return max(found, key=lambda one: float(one["gflops"]))

    @property
    def gflops(self) -> float:
        """The best rate in bf16 on all cores."""
        return float(self.best("bf16", self.cores)["gflops"])

    def table(self) -> str:
        lines = [
            f"\n{'product of matrices, GFLOP/s':34}{'one core':>18}{'all cores':>18}"
        ]
        for precision in PRECISIONS:
            cells = [self.best(precision, cores) for cores in (1, self.cores)]
            shown = [f"{cell['gflops']:.0f} {cell['library']:>9}" for cell in cells]
            lines.append(f"{precision:34}{shown[0]:>18}{shown[1]:>18}")
        return "\n".join(lines)


def multiply(library: str, precision: str, cores: int, sizes: Sequence[int]) -> float:
    """The best rate (GFLOP/s) of a library, over matrices of several sizes."""
    product = {"openvino": openvino_product, "torch": torch_product}[library]
    return max(rate(product(size, precision, cores), size) for size in sizes)


def rate(product: Callable[[], object], size: int) -> float:
    """The rate (GFLOP/s) in the best of a few windows of time."""
    product()
    best = 0.0
    for _ in range(WINDOWS):
        calls, started, passed = 0, time.perf_counter(), 0.0
        while passed < WINDOW:
            product()
            calls += 1
            passed = time.perf_counter() - started
        best = max(best, calls / passed)
    return best * PRODUCTS * 2 * size**3 / 1e9


def openvino_product(size: int, precision: str, cores: int) -> Callable[[], object]:
    from indexer.vectors.library import import_openvino

    openvino = import_openvino()
    from openvino import opset13

    first, second = matrices(size)
    parameter = found = opset13.parameter([size, size], np.float32)
    for _ in range(PRODUCTS):
        found = opset13.matmul(found, opset13.constant(second), False, True)
    compiled = openvino.Core().compile_model(
        openvino.Model([found], [parameter]),
        "CPU",
        {
            "INFERENCE_NUM_THREADS": cores,
            "NUM_STREAMS": 1,
            "INFERENCE_PRECISION_HINT": precision,
        },
    )
    request = compiled.create_infer_request()
    return lambda: request.infer([first], share_inputs=True, share_outputs=True)


def torch_product(size: int, precision: str, cores: int) -> Callable[[], object]:
    import torch

    torch.set_num_threads(cores)
    kind = torch.bfloat16 if precision == "bf16" else torch.float32
    first, second = (torch.from_numpy(one).to(kind) for one in matrices(size))

    def product() -> object:
        found = first
        for _ in range(PRODUCTS):
            found = found @ second
        return found

    return product


def matrices(size: int) -> list[Vectors]:
    """Two matrices whose repeated products neither grow nor vanish."""
    rng = np.random.default_rng(size)
    scale = np.float32(1 / math.sqrt(size))
    return [
        rng.standard_normal((size, size), np.float32) * scale for scale in (1, scale)
    ]


# ---- Results ----


def table(ways: list[Way], plain: Way, peak: Peak) -> str:
    lines = [
        f"\n{'':34}{'texts/s':>8}{'tokens/s':>10}{'GFLOP/s':>9}{'ratio':>7}"
        f"{'of peak':>9}{'padding':>9}{'cosine':>10}{'least':>10}"
    ]
    for way in ways:
        found = way.as_dict(plain, peak.gflops)
        cosine = found["cosine"]
        lines.append(
            f"{way.name:34}{found['texts_per_second']:8.1f}"
            f"{found['tokens_per_second']:10,.0f}{found['gflops']:9.1f}"
            f"{found['ratio']:7.2f}{found['share_of_peak']:9.1%}"
            f"{found['padding']:9.1%}{cosine['mean']:10.6f}{cosine['min']:10.6f}"
        )
    return "\n".join(lines)


def results(
    project: Project,
    peak: Peak,
    ways: list[Way],
    plain: Way,
    products: list[Product],
) -> dict[str, Any]:
    found = surroundings()
    for name in LIBRARIES:
        found["versions"][name] = importlib.metadata.version(name)
    tokens = project.all.tokens
    return {
        **found,
        "files": project.files,
        "chunks": project.chunks,
        "texts": len(project.all),
        "tokens": sum(tokens),
        "flop_per_token": project.sizes.flop(tokens) / sum(tokens),
        "sample": len(project.picked),
        "peak": peak.found,
        "ways": [way.as_dict(plain, peak.gflops) for way in ways],
        "codx-index": [product.as_dict() for product in products],
    }


if __name__ == "__main__":
    try:
        main()
    except Unexpected as error:
        sys.exit(str(error))
