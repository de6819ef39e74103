"""Texts to vectors: which backend computes them, its one-time conversion, its use.

Any model loads with sentence-transformers. On a CPU its whole pipeline is converted once
to an OpenVINO graph, which is about four times as fast and starts without torch.

A vector is a pure function of its text: padding reaches into the last bits of a result,
so every text is padded to a width that follows from its own length alone, and only texts
of equal width share a batch.
"""

from __future__ import annotations

import atexit
import glob
import importlib.util
import os
import shutil
import signal
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

from indexer import conversion
from indexer.errors import ModelError, UsageError
from indexer.model import (
    DEFAULT_MODEL,
    ModelInfo,
    Tokenizer,
    load_raw_tokenizer,
    load_sentence_transformer,
    load_tokenizer,
    quiet,
    recall,
    remember,
    resolve_model,
    third_party,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from sentence_transformers import SentenceTransformer

__all__ = [
    "DEFAULT_MODEL",
    "Backend",
    "Embedder",
    "Encoding",
    "ModelInfo",
    "Tokenizer",
    "choose_backend",
    "load_embedder",
    "load_tokenizer",
    "resolve_model",
]

OPENVINO = "openvino"
SENTENCE_TRANSFORMERS = "sentence-transformers"

_LEAST_COSINE = {"f32": 0.99999, "bf16": 0.999}
# Another step gives vectors that differ in their last bits: change it with the fingerprint.
_WIDTH_STEP = 8
_OPENVINO_BATCH = 4
_IGNORE_INTERRUPT = (signal.SIGINT, signal.SIG_IGN)
# torch picks its kernels by the shape of the batch; alone, a text always has the same.
_TORCH_BATCH = {"cpu": 1, "cuda": 64}


@dataclass(frozen=True, slots=True)
class Backend:
    """All a worker needs to embed. Picklable.

    `kind` is "openvino" or "sentence-transformers", `device` "cpu" or "cuda". `precision`,
    "bf16" or "f32", changes the vectors and so belongs to the fingerprint.
    """

    model: ModelInfo
    kind: str
    device: str
    precision: str
    cache_dir: str


@dataclass(frozen=True, slots=True)
class Encoding:
    """Vectors of shape (texts, dimension), float32, unit length, in the order of the texts.

    `truncated` counts the texts that were too long for the model and lost their end.
    `tokens` (special ones included) and `padding` are the tokens that were computed.
    """

    vectors: NDArray[np.float32]
    truncated: int
    tokens: int
    padding: int


class Embedder(Protocol):
    """Not safe to share between threads."""

    dimension: int

    def encode(self, texts: Sequence[str]) -> Encoding:
        """Embed texts to be found. Raises `ModelError` on NaN, infinite or zero vectors."""
        ...

    def encode_query(self, text: str) -> NDArray[np.float32]:
        """Embed a text to find others with: shape (dimension,), unit length.

        Differs from `encode` for models that are trained to see queries differently.
        """
        ...


def choose_backend(
    model: ModelInfo,
    cache_dir: str,
    *,
    convert: bool,
    on_step: Callable[[str], None] = lambda message: None,
) -> Backend:
    """Decide what embeds, converting the model for it first if `convert` says so.

    A GPU is used through sentence-transformers, a CPU through OpenVINO unless the model
    is known not to fit. Without `convert` nothing slow happens: the answer is what a run
    would begin with. `CODX_INDEX_DEVICE` (cpu, cuda), `CODX_INDEX_BACKEND` (openvino,
    sentence-transformers) and `CODX_INDEX_PRECISION` (f32, bf16) overrule; each may be
    "auto". `on_step` is told what takes long.

    Raises `UsageError` for other values, `ModelError` where what they ask for is not to
    be had or the model cannot be loaded at all.
    """
    device = _setting("CODX_INDEX_DEVICE", "cpu", "cuda")
    kind = _setting("CODX_INDEX_BACKEND", OPENVINO, SENTENCE_TRANSFORMERS)
    precision = _setting("CODX_INDEX_PRECISION", "f32", "bf16")
    if kind == OPENVINO and device == "cuda":
        raise UsageError(
            "CODX_INDEX_BACKEND=openvino runs on the CPU: unset CODX_INDEX_DEVICE"
        )

    plain = "f32" if precision == "auto" else precision
    if (
        kind != OPENVINO
        and device != "cpu"
        and _has_cuda(cache_dir, asked=device == "cuda")
    ):
        return Backend(model, SENTENCE_TRANSFORMERS, "cuda", plain, cache_dir)
    if device == "cuda":
        raise ModelError("CODX_INDEX_DEVICE=cuda, but torch sees no such device here")

    reason = ""
    if kind != SENTENCE_TRANSFORMERS:
        for candidate in _precisions(precision):
            backend = Backend(model, OPENVINO, "cpu", candidate, cache_dir)
            if convert:
                backend = _converted(backend, on_step)
            reason = _unsupported(backend)
            if not reason:
                return backend
    if kind == OPENVINO:
        raise ModelError(f"{model.name} cannot run on OpenVINO: {reason}")
    return Backend(model, SENTENCE_TRANSFORMERS, "cpu", plain, cache_dir)


def load_embedder(backend: Backend, threads: int = 1) -> Embedder:
    """Load what `choose_backend` chose, for `threads` CPU threads. Raises `ModelError`.

    With OpenVINO 0.5 s, without importing torch; otherwise about 6 s.
    """
    if backend.kind == OPENVINO:
        folder = _converted_folder(backend)
        about = conversion.read_about(folder)
        if about is None or "pad_id" not in about:
            raise ModelError(f"there is no converted model in {folder}: run again")
        return _OpenVinoEmbedder(backend, folder, about["pad_id"], threads)
    return _TorchEmbedder(backend, threads)


# Choosing


def _setting(variable: str, *choices: str) -> str:
    value = os.environ.get(variable) or "auto"
    if value not in ("auto", *choices):
        raise UsageError(
            f"{variable} is {value!r}: use one of auto, {', '.join(choices)}"
        )
    return value


def _precisions(asked: str) -> list[str]:
    """The precisions to try, best first."""
    if asked != "auto":
        return [asked]
    return ["bf16", "f32"] if _cpu_has_bf16() else ["f32"]


def _cpu_has_bf16() -> bool:
    """Whether bf16 is faster than f32 here. Asking OpenVINO would cost its import."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
            flags = next(
                (line.split() for line in file if line.startswith("flags")), []
            )
    except OSError:
        return False
    return "avx512_bf16" in flags or "amx_bf16" in flags


def _has_cuda(cache_dir: str, asked: bool) -> bool:
    """Whether torch can use a GPU. Remembered, as torch takes seconds to import."""
    nodes = sorted(glob.glob("/dev/nvidia[0-9]*"))
    spec = importlib.util.find_spec("torch")
    if spec is None or spec.origin is None or not (nodes or asked):
        return False
    memo = os.path.join(cache_dir, "models", "cuda.json")
    stamp = [nodes, spec.origin, os.stat(spec.origin).st_mtime_ns]
    available = recall(memo, stamp)
    if not isinstance(available, bool) or (asked and not available):
        with third_party("torch cannot be loaded"), quiet():
            import torch

            available = torch.cuda.is_available()
        remember(memo, stamp, available)
    return available


# Converting


def _converted_folder(backend: Backend) -> str:
    """Where the converted model lies, or the reason why there is none."""
    parts = [backend.model.digest[:16], backend.precision]
    parts += [_openvino_version(), str(conversion.VERSION)]
    return os.path.join(backend.cache_dir, "models", "-".join(parts))


def _openvino_version() -> str:
    """The version that is installed, empty where there is none."""
    spec = importlib.util.find_spec("openvino")
    if spec is None or spec.origin is None:
        return ""
    # Its name tells as much as importlib.metadata, whose import alone costs 35 ms.
    site = os.path.dirname(os.path.dirname(spec.origin))
    found = glob.glob("openvino-*.dist-info", root_dir=site)
    if len(found) == 1:
        return found[0].removeprefix("openvino-").removesuffix(".dist-info")
    from importlib import metadata

    return metadata.version("openvino")


def _unsupported(backend: Backend) -> str:
    """Why this backend is known not to work; "" as long as it is not."""
    if not _openvino_version():
        return "it is not installed"
    about = conversion.read_about(_converted_folder(backend)) or {}
    return str(about.get("unsupported", ""))


def _converted(backend: Backend, on_step: Callable[[str], None]) -> Backend:
    """The backend with its model converted, or found to be unfit, once and for all."""
    if (
        not _openvino_version()
        or conversion.read_about(_converted_folder(backend)) is not None
    ):
        return backend
    on_step(f"converting {backend.model.name} for this CPU, once (about 10 s)")
    backend, building = _start_building(backend, on_step)
    try:
        about = _in_own_process(_build, backend, building)
        conversion.write_about(building, about)
        conversion.publish(building, _converted_folder(backend))
    finally:
        shutil.rmtree(building, ignore_errors=True)
    if "unsupported" in about:
        on_step(
            f"{backend.model.name} does not run on OpenVINO in {backend.precision}: "
            f"{about['unsupported']}"
        )
    return backend


def _start_building(
    backend: Backend, on_step: Callable[[str], None]
) -> tuple[Backend, str]:
    """A folder to convert into, on the disk where the result will be."""
    import tempfile

    models = os.path.join(backend.cache_dir, "models")
    try:
        os.makedirs(models, exist_ok=True)
        conversion.sweep(models)
        return backend, tempfile.mkdtemp(prefix=".tmp-", dir=models)
    except OSError as error:
        on_step(
            f"{models} cannot be written ({error.strerror}): the conversion is not kept"
        )
    cache_dir = tempfile.mkdtemp(prefix="codx-index-")
    atexit.register(shutil.rmtree, cache_dir, ignore_errors=True)
    models = os.path.join(cache_dir, "models")
    os.mkdir(models)
    backend = replace(backend, cache_dir=cache_dir)
    return backend, tempfile.mkdtemp(prefix=".tmp-", dir=models)


def _in_own_process(
    build: Callable[[Backend, str], dict[str, Any]], backend: Backend, folder: str
) -> dict[str, Any]:
    """Convert elsewhere: torch would stay in this process, with 500 MB and its threads."""
    from concurrent.futures import ProcessPoolExecutor
    from concurrent.futures.process import BrokenProcessPool

    from indexer.process import spawn_context

    with ProcessPoolExecutor(
        1, spawn_context(), signal.signal, _IGNORE_INTERRUPT
    ) as pool:
        try:
            return pool.submit(build, backend, folder).result()
        except BrokenProcessPool as error:
            raise ModelError(
                f"the conversion of {backend.model.name} was killed (out of memory?)"
            ) from error


def _build(backend: Backend, folder: str) -> dict[str, Any]:
    """Convert into `folder` and compare with the original. Returns what to say about it."""
    original = load_sentence_transformer(backend.model.folder, "cpu", "f32")
    try:
        with quiet():
            pad_id = conversion.convert(original, folder)
            converted = _OpenVinoEmbedder(backend, folder, pad_id, threads=1)
            cosine = _least_cosine(original, converted)
    except ModelError as error:
        return {"unsupported": str(error)}
    if not cosine >= _LEAST_COSINE[backend.precision]:
        return {
            "unsupported": f"its vectors are not the original's (cosine {cosine:.5f})"
        }
    return {"pad_id": pad_id, "cosine": cosine}


def _least_cosine(original: SentenceTransformer, converted: Embedder) -> float:
    """The least agreement over texts of many lengths, each batched with others."""
    text = "def main(argv: list[str]) -> int:  # Über 'naïve' café\n    return 0\n"
    texts = [
        (text * 40)[: 3 * length] for length in (1, 2, 3, 5, 8, 13, 21, 22, 34, 55, 89)
    ]
    texts += [text * repeat for repeat in (5, 8, 13)]
    expected = original.encode(
        texts, normalize_embeddings=True, show_progress_bar=False
    )
    return float((converted.encode(texts).vectors * expected).sum(axis=1).min())


# Embedding


class _OpenVinoEmbedder:
    """Runs a converted model; imports neither torch nor transformers."""

    def __init__(
        self, backend: Backend, folder: str, pad_id: int, threads: int
    ) -> None:
        self.dimension = backend.model.dimension
        self._limit = backend.model.max_tokens
        self._pad_id = pad_id
        self._tokenizer = load_raw_tokenizer(backend.model.folder)
        self._tokenizer.enable_truncation(self._limit)
        with third_party(
            f"the converted model in {folder} cannot be loaded (delete it)"
        ):
            import openvino

            compiled = openvino.Core().compile_model(
                os.path.join(folder, conversion.GRAPH),
                "CPU",
                {
                    "INFERENCE_NUM_THREADS": threads,
                    "NUM_STREAMS": 1,
                    # Pinned, one-thread processes all end up on the same core.
                    "ENABLE_CPU_PINNING": False,
                    "INFERENCE_PRECISION_HINT": backend.precision,
                },
            )
        self._request = compiled.create_infer_request()
        self._inputs = [tensor.any_name for tensor in compiled.inputs]

    def encode(self, texts: Sequence[str]) -> Encoding:
        import numpy as np

        encodings = self._tokenizer.encode_batch_fast(list(texts))
        lengths = [len(encoding.ids) for encoding in encodings]
        vectors = np.empty((len(texts), self.dimension), np.float32)
        computed = 0
        for width, rows in _batches(lengths, self._limit, _OPENVINO_BATCH):
            vectors[rows] = self._infer([encodings[row].ids for row in rows], width)
            computed += width * len(rows)
        truncated = sum(bool(encoding.overflowing) for encoding in encodings)
        return Encoding(
            _unit(vectors), truncated, sum(lengths), computed - sum(lengths)
        )

    def encode_query(self, text: str) -> NDArray[np.float32]:
        vector: NDArray[np.float32] = self.encode([text]).vectors[0]
        return vector

    def _infer(self, ids: list[list[int]], width: int) -> NDArray[np.float32]:
        import numpy as np

        shape = (len(ids), width)
        inputs = {
            "input_ids": np.full(shape, self._pad_id, np.int64),
            "attention_mask": np.zeros(shape, np.int64),
            "token_type_ids": np.zeros(shape, np.int64),
        }
        for row, tokens in enumerate(ids):
            inputs["input_ids"][row, : len(tokens)] = tokens
            inputs["attention_mask"][row, : len(tokens)] = 1
        with third_party("the model failed"):
            outputs = self._request.infer({name: inputs[name] for name in self._inputs})
        # A view of memory that the next call writes over.
        vectors: NDArray[np.float32] = outputs[0]
        return vectors


class _TorchEmbedder:
    """Runs any model that sentence-transformers can load.

    On a GPU, whose kernels depend on the shape of the batch, a vector may differ in its
    last bits with the texts it was batched with.
    """

    def __init__(self, backend: Backend, threads: int) -> None:
        self.dimension = backend.model.dimension
        self._limit = backend.model.max_tokens
        self._batch = _TORCH_BATCH[backend.device]
        self._tokenizer = load_tokenizer(backend.model)
        folder = backend.model.folder
        self._model = load_sentence_transformer(
            folder, backend.device, backend.precision
        )
        import torch

        torch.set_num_threads(threads)

    def encode(self, texts: Sequence[str]) -> Encoding:
        import numpy as np

        counts = self._tokenizer.count(texts)
        lengths = [min(count, self._limit) for count in counts]
        vectors = np.empty((len(texts), self.dimension), np.float32)
        computed = 0
        for _, rows in _batches(lengths, self._limit, self._batch):
            with third_party("the model failed"), quiet():
                vectors[rows] = self._model.encode_document(
                    [texts[row] for row in rows],
                    batch_size=len(rows),
                    show_progress_bar=False,
                    normalize_embeddings=True,
                )
            computed += max(lengths[row] for row in rows) * len(rows)
        truncated = sum(count > self._limit for count in counts)
        return Encoding(
            _unit(vectors), truncated, sum(lengths), computed - sum(lengths)
        )

    def encode_query(self, text: str) -> NDArray[np.float32]:
        with third_party("the model failed"), quiet():
            vectors = self._model.encode_query(
                [text], show_progress_bar=False, normalize_embeddings=True
            )
        vector: NDArray[np.float32] = _unit(vectors)[0]
        return vector


def _batches(
    lengths: Sequence[int], limit: int, size: int
) -> Iterator[tuple[int, list[int]]]:
    """Group texts, given as their tokens, into batches of one width, at most `size` each.

    Yields (width, indices of the texts). The width is the length rounded up, so that few
    texts are alone, but not over the model's limit, which may be its last position.
    """
    by_width: dict[int, list[int]] = {}
    for index, length in enumerate(lengths):
        width = min(-(-length // _WIDTH_STEP) * _WIDTH_STEP, limit)
        by_width.setdefault(width, []).append(index)
    for width, indices in by_width.items():
        for start in range(0, len(indices), size):
            yield width, indices[start : start + size]


def _unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Scale rows to length 1, which not every model does itself."""
    import numpy as np

    vectors = np.asarray(vectors, np.float32)
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    if not np.all(np.isfinite(norms) & (norms > 0)):
        raise ModelError(
            "the model gave a vector that is zero, infinite or not a number"
        )
    unit: NDArray[np.float32] = vectors / norms
    return unit
