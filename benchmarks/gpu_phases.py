"""The phases of `gpu.py`, in a process that finds all packages installed."""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from busy import Busy, Look, find_look
from common import Indexer, Unexpected, headline, machine, write_json
from msgspec.structs import replace

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from indexer.vectors.backend import Backend
    from indexer.vectors.embedders import Embedder

    Vectors = NDArray[np.float32]
    Embed = Callable[[list[int]], Vectors]  # of texts by their indices

# What is imported under another name than that of its package stands under that name.
NEEDED = """
    indexer torch sentence_transformers transformers tokenizers numpy pymilvus milvus_lite
    pyarrow faiss grpc charset_normalizer click detect_secrets huggingface_hub platformdirs
    pygments Stemmer setproctitle tenacity tqdm tree_sitter tree_sitter_language_pack
    """.split()
RUN_SHARE = 0.5  # of the time: of the run
WAY_SHARE = 0.1  # and of each way to embed
KILL_AFTER = 20  # seconds for a run to end after the time that it has
BATCHES = (32, 256)  # texts; the first is the default of `encode`
ENOUGH = 5  # seconds, which are some 25 samples of how busy the device is
TASKS = 2  # that a run sorts by length together, for each device
CPU_SLICE = 16  # texts between two looks at the clock, where a CPU embeds
NEAREST = 10
RESERVE_OF_QUERIES = 5  # seconds
QUERIES = [
    "read a file line by line",
    "parse the arguments of the command line",
    "open a socket and wait for a connection",
    "where is an exception turned into an exit code",
    "convert a date to a string",
    "compare two versions",
    "lock shared by several threads",
    "tests of the scheduler",
    "compress data",
    "encode bytes as text",
    "walk a directory tree",
    "default settings",
    "format a number",
    "cache the result of a function",
    "send a request and retry on failure",
    "remove old entries",
    "how is memory released",
    "regular expression for a name",
    "sort items by key",
    "write a row to the database",
]


@dataclass(slots=True)
class Session:
    """The time that is left, how the device is looked at, and what was found so far."""

    options: argparse.Namespace
    deadline: float
    look: Look | None = None
    found: dict[str, Any] = field(default_factory=dict)

    @property
    def is_cuda(self) -> bool:
        return bool(self.options.device == "cuda")

    @property
    def left(self) -> float:
        return self.deadline - time.monotonic()

    def keep(self, name: str, value: object) -> None:
        """Add a result, and write all of them, because the time may be up before the end."""
        self.found[name] = value
        write_json(self.options.json, self.found)


@dataclass(frozen=True, slots=True)
class Texts:
    """What a run embedded: texts, the vectors in the collection, and tokens."""

    texts: list[str]
    vectors: Vectors
    ids: list[bytes]
    tokens: list[int]


def work(folder: Path, options: argparse.Namespace) -> None:
    """Do all phases; exits with 1 and one line where one cannot be done."""
    session = Session(options, time.monotonic() + 60 * options.minutes)
    try:
        check(session)
        from indexer.errors import CodxIndexError

        try:
            do_phases(folder, session)
        except CodxIndexError as error:
            raise Unexpected(str(error)) from error
    except MemoryError as error:
        sys.exit(f"gpu.py: out of memory: {error}")
    except ImportError as error:
        sys.exit(f"gpu.py: a package cannot be imported: {error}")
    except Unexpected as error:
        sys.exit(f"gpu.py: {error}")


def check(session: Session) -> None:
    """Say what this machine is. Raises `Unexpected` where something is missing."""
    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        raise Unexpected(
            f"neither the wheels nor this Python have {', '.join(missing)}: "
            "add their wheels to the folder"
        )
    import torch

    print(headline())
    about: dict[str, Any] = {"torch": torch.__version__, "cuda": torch.version.cuda}
    os.environ["CODX_INDEX_DEVICE"] = session.options.device
    os.environ["CODX_INDEX_BACKEND"] = "sentence-transformers"
    if not session.is_cuda:
        os.environ["CODX_INDEX_PRECISION"] = "bf16"
        print(f"torch {torch.__version__}, on the CPU: the figures mean nothing")
    else:
        os.environ.pop("CODX_INDEX_PRECISION", None)
        if not torch.cuda.is_available():
            raise Unexpected(
                f"torch {torch.__version__}, built for CUDA {torch.version.cuda}, "
                "sees no CUDA device here"
            )
        device = torch.cuda.get_device_properties(0)
        about |= {
            "device": device.name,
            "devices": torch.cuda.device_count(),
            "capability": [device.major, device.minor],
            "memory_mib": device.total_memory / 2**20,
        }
        session.look = find_look()
        print(
            f"{device.name}, {device.total_memory / 2**30:.0f} GiB, "
            f"{about['devices']} of them; torch {torch.__version__}"
        )
        if session.look is None:
            print("neither pynvml nor nvidia-smi tells how busy the device is")
    session.keep("machine", machine() | about)


def do_phases(folder: Path, session: Session) -> None:
    from first_index import copy_files

    from indexer.config import AUTO
    from indexer.vectors.choice import choose_backend
    from indexer.vectors.model import resolve_model

    options = session.options
    cache = folder / "cache"
    project = folder / "project"
    copy_files(options.tree, project, options.files)
    model = resolve_model(options.model, str(cache))
    precision = os.environ.get("CODX_INDEX_PRECISION", AUTO)
    backend = choose_backend(model, str(cache), precision, convert=False)
    session.keep("precision", backend.precision)
    index(project, cache, session)
    texts = read_texts(project, backend)
    one = replace(backend, device="cuda:0") if session.is_cuda else backend
    embedder = measure_ways(texts, one, session)
    compare(texts, embedder, one, session)


# ---- The run ----


def index(project: Path, cache: Path, session: Session) -> None:
    """Index the project with the command, and say how fast and how busy that was."""
    seconds = int(session.left * RUN_SHARE)
    trace = project.parent / "trace.json"
    command = [sys.executable, "-m", "indexer", "run", str(project), "--yes", "--json"]
    command += ["--trace", str(trace), "--max-seconds", f"{seconds}s"]
    command += ["--model", session.options.model]
    started = time.perf_counter()
    with Busy(session.look) as busy:
        try:
            done = subprocess.run(
                command,
                cwd=project.parent,
                env=Indexer(cache, session.options.jobs).variables(),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=seconds + KILL_AFTER,
            )
        except subprocess.TimeoutExpired:
            raise Unexpected("the run did not end in time") from None
    wall = time.perf_counter() - started
    # 3: some files could not be indexed; 4: its time was up.
    if done.returncode not in (0, 3, 4):
        lines = (done.stderr or done.stdout).strip().splitlines() or ["no message"]
        raise Unexpected(f"codx-index run ended with {done.returncode}: {lines[-1]}")
    report = json.loads(done.stdout)
    chunks = report["chunks"]
    about = {
        "code": done.returncode,
        "wall": wall,
        "files": report["files"],
        "chunks": chunks,
        "seconds": report["seconds"],
        "texts_per_second": chunks["embedded"] / wall,
        **busy.as_dict(),
        **read_trace(trace),
    }
    session.keep("run", about)
    ended = " (its time was up)" if done.returncode == 4 else ""
    print(
        f"\ncodx-index run in {session.found['precision']}: {chunks['embedded']:,} texts in "
        f"{wall:.1f} s{ended}, of which {about['embedding_seconds']:.1f} s from the first "
        f"batch to the last: {about['embedding_texts_per_second']:,.0f} texts/s\n"
        f"in that time, a process that embeds was at work for "
        f"{about['embedding_share']:.0%}; the device was busy for {shown(busy.share())}"
    )
    if not chunks["embedded"]:
        raise Unexpected("the run embedded nothing: --tree needs files with text")


def shown(share: float | None) -> str:
    return "an unknown share" if share is None else f"{share:.0%}"


def read_trace(trace: Path) -> dict[str, Any]:
    """How long texts were embedded in a run, and which share of that the processes did it."""
    events = json.loads(trace.read_text())["traceEvents"]
    batches = [event for event in events if "tokens" in event.get("args", ())]
    # The first is small, and waits for the model to warm up.
    batches = batches[1:] or batches
    if not batches:
        return dict.fromkeys(
            ("embedding_seconds", "embedding_texts_per_second", "embedding_share"), 0.0
        )
    first = min(batch["ts"] for batch in batches)
    last = max(batch["ts"] + batch["dur"] for batch in batches)
    seconds = max(last - first, 1) / 1e6
    processes = len({batch["pid"] for batch in batches})
    at_work = sum(batch["dur"] for batch in batches) / 1e6
    return {
        "embedding_seconds": seconds,
        "embedding_texts_per_second": sum(batch["args"]["chunks"] for batch in batches)
        / seconds,
        "embedding_share": at_work / seconds / processes,
        "embedding_batches": len(batches),
    }


def read_texts(project: Path, backend: Backend) -> Texts:
    """The different texts of the collection, each with its vector."""
    import numpy as np
    from throughput import read_vectors

    from indexer.types import ID_BYTES
    from indexer.vectors.tokenizer import load_tokenizer

    found = read_vectors(project)
    texts = list(found)
    vectors = np.frombuffer(b"".join(found.values()), np.float32)
    ids = load_tokenizer(backend.model).ids(texts)
    tokens = [len(one) // ID_BYTES for one in ids]
    return Texts(texts, vectors.reshape(len(texts), -1), ids, tokens)


# ---- The same texts on one device ----


def measure_ways(texts: Texts, backend: Backend, session: Session) -> Embedder:
    """Embed the texts in each way, and print the rates. Returns the run's embedder."""
    from indexer.vectors.embedders import load_embedder

    print(f"\n{'on one device':34}{'texts/s':>10}{'ratio':>8}{'busy':>8}{'MiB':>10}")
    ways: dict[str, dict[str, Any]] = {}
    for batch, embed in zip(BATCHES, encode_ways(texts, backend), strict=True):
        measure(f"encode, batches of {batch}", embed, texts, session, ways)
    embedder = load_embedder(backend)

    def embed_as_a_run(indices: list[int]) -> Vectors:
        picked = [texts.texts[index] for index in indices]
        return embedder.encode(picked, [texts.ids[index] for index in indices]).vectors

    measure("the embedder of codx-index", embed_as_a_run, texts, session, ways)
    return embedder


def encode_ways(texts: Texts, backend: Backend) -> Iterator[Embed]:
    """`encode` in batches of each size, with the threads that it has in a plain program."""
    import torch

    from indexer.vectors.library import load_sentence_transformer

    folder, device = backend.model.folder, backend.device
    model = load_sentence_transformer(folder, device, backend.precision)
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    for batch in BATCHES:

        def embed(indices: list[int], batch: int = batch) -> Vectors:
            # Our own tokenizers, loaded before, have set this to one thread.
            os.environ["TOKENIZERS_PARALLELISM"] = "true"
            picked = [texts.texts[index] for index in indices]
            vectors: Vectors = model.encode(
                picked, batch_size=batch, show_progress_bar=False
            )
            return vectors

        yield embed


def measure(
    name: str,
    embed: Embed,
    texts: Texts,
    session: Session,
    ways: dict[str, dict[str, Any]],
) -> None:
    """Embed texts until there are no more or the way's time is up."""
    if session.left < 2:
        print(f"{name:34}{'left out: the time is up':>36}")
        return
    until = time.monotonic() + 60 * session.options.minutes * WAY_SHARE
    until = min(until, session.deadline)
    slices = list(generations(texts.tokens, is_cuda=session.is_cuda))
    done = 0
    with failing(name):
        embed(slices[0])  # the first calls choose kernels and ask for memory
        with Busy(session.look) as busy:
            started = time.perf_counter()
            for indices in repeated(slices, until, is_cuda=session.is_cuda):
                embed(indices)
                done += len(indices)
            seconds = time.perf_counter() - started
    rate = done / seconds
    first = next(iter(ways.values()), {"texts_per_second": rate})
    ratio = rate / first["texts_per_second"]
    ways[name] = {
        "texts": done,
        "seconds": seconds,
        "texts_per_second": rate,
        "ratio": ratio,
        **busy.as_dict(),
    }
    session.keep("ways", ways)
    share = busy.share()
    print(
        f"{name:34}{rate:10,.0f}{ratio:8.2f}"
        f"{'?' if share is None else f'{share:.0%}':>8}{busy.memory_mib:10,.0f}"
    )


def repeated(
    slices: list[list[int]], until: float, *, is_cuda: bool
) -> Iterator[list[int]]:
    """All slices, on a GPU again and again until it could be sampled, but not past `until`."""
    enough = time.monotonic() + (ENOUGH if is_cuda else 0)
    while True:
        for indices in slices:
            yield indices
            if time.monotonic() > until:
                return
        if time.monotonic() > enough:
            return


def generations(tokens: Sequence[int], *, is_cuda: bool) -> Iterator[list[int]]:
    """Indices of texts as a run gives them to a device: in tasks, each sorted by length."""
    from indexer.work.workers import GPU_TASK

    size = GPU_TASK if is_cuda else CPU_SLICE
    for start in range(0, len(tokens), TASKS * size):
        indices = list(range(start, min(start + TASKS * size, len(tokens))))
        indices.sort(key=lambda index: -tokens[index])
        for first in range(0, len(indices), size):
            yield indices[first : first + size]


@contextmanager
def failing(name: str) -> Iterator[None]:
    """A block whose failure, memory that has run out included, is one line."""
    from indexer.vectors.library import third_party

    with third_party(f"{name} failed"):
        yield


# ---- What half precision costs ----


def compare(
    texts: Texts, embedder: Embedder, backend: Backend, session: Session
) -> None:
    """Compare a sample of the collection's vectors with those of f32 on the CPU."""
    import numpy as np
    from throughput import spread

    from indexer.vectors.embedders import load_embedder

    exact = load_embedder(
        replace(backend, device="cpu", precision="f32", gpus=0),
        threads=len(os.sched_getaffinity(0)),
    )
    picked = spread(texts.tokens, session.options.sample)
    found: list[Vectors] = []
    for start in range(0, len(picked), CPU_SLICE):
        if found and session.left < RESERVE_OF_QUERIES:
            break
        indices = picked[start : start + CPU_SLICE]
        some = [texts.texts[index] for index in indices]
        found.append(exact.encode(some, [texts.ids[i] for i in indices]).vectors)
    expected = np.concatenate(found)
    given = texts.vectors[picked[: len(expected)]]
    cosines = (expected * given).sum(axis=1)
    shared = [
        len(nearest(given, embedder.encode_query(query)) & nearest(expected, precise))
        for query in QUERIES
        for precise in [exact.encode_query(query)]
    ]
    most = min(NEAREST, len(expected))
    overlap = statistics.mean(shared) / most
    session.keep(
        "compared",
        {
            "texts": len(expected),
            "cosine": {
                "min": float(cosines.min()),
                "median": float(np.median(cosines)),
            },
            "queries": len(QUERIES),
            "overlap": overlap,
        },
    )
    print(
        f"\n{len(expected)} vectors of the collection against f32 on the CPU: cosine "
        f"{cosines.min():.6f} at least, {np.median(cosines):.6f} in the median\n"
        f"of the {most} texts nearest to each of {len(QUERIES)} queries, {overlap:.1%} are the "
        "same"
    )


def nearest(vectors: Vectors, query: Vectors) -> set[int]:
    """The rows that are nearest to a query."""
    return set((-(vectors @ query)).argsort(kind="stable")[:NEAREST].tolist())
