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
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from indexer import conversion, quantization
from indexer.config import AUTO
from indexer.errors import ModelError, TaskError, UsageError
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
from indexer.quantization import INT8
from indexer.types import ID_BYTES

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

_LEAST_COSINE = {"f32": 0.99999, "bf16": 0.999, INT8: 0.97}
# Another step gives vectors that differ in their last bits: change it with the fingerprint.
_WIDTH_STEP = 8
_OPENVINO_BATCH = 4
# torch picks its kernels by the shape of the batch; alone, a text always has the same.
_TORCH_BATCH = {"cpu": 1, "cuda": 256}


@dataclass(frozen=True, slots=True)
class Backend:
    """All a worker needs to embed. Picklable.

    `kind` is "openvino" or "sentence-transformers". `device` is "cpu" or "cuda", with its
    `gpus` counted, or one of these: "cuda:0". `precision`, "f32", "bf16" or "int8", changes
    the vectors and so belongs to the fingerprint.
    """

    model: ModelInfo
    kind: str
    device: str
    precision: str
    cache_dir: str
    gpus: int = 0


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

    def encode(
        self, texts: Sequence[str], ids: Sequence[bytes] | None = None
    ) -> Encoding:
        """Embed texts to be found. Their `ids`, as `Chunk` has them, save the tokenizing.

        Raises `ModelError` on NaN, infinite or zero vectors.
        """
        ...

    def encode_query(self, text: str) -> NDArray[np.float32]:
        """Embed a text to find others with: shape (dimension,), unit length.

        Differs from `encode` for models that are trained to see queries differently.
        """
        ...


def choose_backend(
    model: ModelInfo,
    cache_dir: str,
    precision: str = AUTO,
    *,
    convert: bool,
    on_step: Callable[[str], None] = lambda message: None,
) -> Backend:
    """Decide what embeds, converting the model for it first if `convert` says so.

    A GPU is used through sentence-transformers, a CPU through OpenVINO unless the model
    is known not to fit. `precision` is one of `config.PRECISIONS`; "auto" never means
    int8. Without `convert` nothing slow happens: the answer is what a run would begin
    with. `CODX_INDEX_DEVICE` (cpu, cuda) and `CODX_INDEX_BACKEND` (openvino,
    sentence-transformers) overrule; each may be "auto". `on_step` is told what takes long.

    Raises `UsageError` for other values, `ModelError` where what they ask for is not to
    be had or the model cannot be loaded at all.
    """
    device = _setting("CODX_INDEX_DEVICE", "cpu", "cuda")
    kind = _setting("CODX_INDEX_BACKEND", OPENVINO, SENTENCE_TRANSFORMERS)
    if kind == OPENVINO and device == "cuda":
        raise UsageError(
            "CODX_INDEX_BACKEND=openvino runs on the CPU: unset CODX_INDEX_DEVICE"
        )
    if precision == INT8:  # only OpenVINO computes it
        if kind == SENTENCE_TRANSFORMERS or device == "cuda":
            raise UsageError(
                "--precision int8 runs on the CPU with OpenVINO: "
                "unset CODX_INDEX_BACKEND and CODX_INDEX_DEVICE"
            )
        kind = OPENVINO

    if kind != OPENVINO and device != "cpu":
        cuda = _cuda(cache_dir, asked=device == "cuda")
        if cuda.gpus:
            best = "bf16" if cuda.has_bf16 else "f32"
            used = best if precision == AUTO else precision
            return Backend(
                model, SENTENCE_TRANSFORMERS, "cuda", used, cache_dir, cuda.gpus
            )
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
    used = "f32" if precision == AUTO else precision
    return Backend(model, SENTENCE_TRANSFORMERS, "cpu", used, cache_dir)


def is_converted(backend: Backend) -> bool:
    """Is the model ready, or is it used as it is?"""
    if backend.kind != OPENVINO:
        return True
    return conversion.read_about(_converted_folder(backend)) is not None


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
    value = os.environ.get(variable) or AUTO
    if value not in (AUTO, *choices):
        raise UsageError(
            f"{variable} is {value!r}: use one of auto, {', '.join(choices)}"
        )
    return value


def _precisions(asked: str) -> list[str]:
    """The precisions to try, best first."""
    if asked != AUTO:
        return [asked]
    return ["bf16", "f32"] if _cpu_has_bf16() else ["f32"]


def _compute_precision(backend: Backend) -> str:
    """How OpenVINO computes what the graph leaves open: for int8, all but the products."""
    if backend.precision == INT8:
        return "bf16" if _cpu_has_bf16() else "f32"
    return backend.precision


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


class _Cuda(NamedTuple):
    """The GPUs that torch can use, and whether all of them compute in bf16."""

    gpus: int
    has_bf16: bool


def _cuda(cache_dir: str, asked: bool) -> _Cuda:
    """Remembered, as torch takes seconds to import."""
    none = _Cuda(0, False)
    nodes = sorted(glob.glob("/dev/nvidia[0-9]*"))
    spec = importlib.util.find_spec("torch")
    if spec is None or spec.origin is None or not (nodes or asked):
        return none
    memo = os.path.join(cache_dir, "models", "cuda.json")
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "")
    stamp = [nodes, visible, spec.origin, os.stat(spec.origin).st_mtime_ns]
    found = recall(memo, stamp)
    try:
        known = _Cuda(int(found[0]), bool(found[1]))
    except (TypeError, ValueError, LookupError):
        known = none
    if found is None or (asked and not known.gpus):
        with third_party("torch cannot be loaded"), quiet():
            known = _ask_torch()
        remember(memo, stamp, list(known))
    return known


def _ask_torch() -> _Cuda:
    import torch

    if not torch.cuda.is_available():
        return _Cuda(0, False)
    gpus = range(torch.cuda.device_count())
    # The first generation that computes in bf16 is Ampere.
    has_bf16 = all(torch.cuda.get_device_capability(gpu) >= (8, 0) for gpu in gpus)
    return _Cuda(len(gpus), has_bf16)


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
    if backend.precision == INT8 and (problem := quantization.missing()):
        raise ModelError(problem)
    about_seconds = 30 if backend.precision == INT8 else 10
    on_step(
        f"converting {backend.model.name} for this CPU, once (about {about_seconds} s)"
    )
    started = time.monotonic()
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
    else:
        on_step(f"converted in {time.monotonic() - started:.1f} s")
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
    from indexer.pool.process_pool import ProcessPool
    from indexer.worker import initialize_process

    with ProcessPool(1, 0, initialize_process, (backend,)) as pool:
        try:
            return pool.submit(build, backend, folder).result()
        except TaskError as error:
            raise ModelError(
                f"the conversion of {backend.model.name} was killed (out of memory?)"
            ) from error


def _build(backend: Backend, folder: str) -> dict[str, Any]:
    """Convert into `folder` and compare with the original. Returns what to say about it."""
    original = load_sentence_transformer(backend.model.folder, "cpu", "f32")
    try:
        with quiet():
            pad_id = conversion.convert(original, folder, backend.precision)
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
                    "INFERENCE_PRECISION_HINT": _compute_precision(backend),
                },
            )
        self._request = compiled.create_infer_request()
        self._inputs = [tensor.any_name for tensor in compiled.inputs]

    def encode(
        self, texts: Sequence[str], ids: Sequence[bytes] | None = None
    ) -> Encoding:
        import numpy as np

        truncated = 0
        if ids is not None and not _too_long(ids, self._limit):
            tokens = [np.frombuffer(one, np.uint32) for one in ids]
        else:
            encodings = self._tokenizer.encode_batch_fast(list(texts))
            tokens = [np.array(encoding.ids, np.uint32) for encoding in encodings]
            truncated = sum(bool(encoding.overflowing) for encoding in encodings)
        lengths = [len(one) for one in tokens]
        vectors = np.empty((len(texts), self.dimension), np.float32)
        computed = 0
        for width, rows in _batches(lengths, self._limit, _OPENVINO_BATCH):
            vectors[rows] = self._infer([tokens[row] for row in rows], width)
            computed += width * len(rows)
        return Encoding(
            _unit(vectors), truncated, sum(lengths), computed - sum(lengths)
        )

    def encode_query(self, text: str) -> NDArray[np.float32]:
        vector: NDArray[np.float32] = self.encode([text]).vectors[0]
        return vector

    def _infer(
        self, texts: list[NDArray[np.uint32]], width: int
    ) -> NDArray[np.float32]:
        inputs = _padded(texts, width, self._pad_id)
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
        self._device = backend.device
        self._batch = _TORCH_BATCH[backend.device.partition(":")[0]]
        self._tokenizer = load_tokenizer(backend.model)
        folder = backend.model.folder
        self._model = load_sentence_transformer(
            folder, backend.device, backend.precision
        )
        with third_party(f"{folder} has no usable tokenizer"), quiet():
            # Without prompts and the like, tokens are all that the model takes.
            fits = not conversion.misfit(self._model)
            self._inputs = list(conversion.features(self._model, ["a"])) if fits else []
            self._pad_id = self._model.tokenizer.pad_token_id or 0
        import torch

        torch.set_num_threads(threads)

    def encode(
        self, texts: Sequence[str], ids: Sequence[bytes] | None = None
    ) -> Encoding:
        import numpy as np

        known = ids if self._inputs else None
        if known is not None and not _too_long(known, self._limit):
            tokens = [np.frombuffer(one, np.uint32) for one in known]
            counts = [len(one) for one in tokens]
        else:
            tokens, counts = [], self._tokenizer.count(texts)
        lengths = [min(count, self._limit) for count in counts]
        vectors = np.empty((len(texts), self.dimension), np.float32)
        computed = 0
        for _, rows in _batches(lengths, self._limit, self._batch):
            width = max(lengths[row] for row in rows)
            with third_party("the model failed"), quiet():
                if tokens:
                    vectors[rows] = self._infer([tokens[row] for row in rows], width)
                else:
                    vectors[rows] = self._encode([texts[row] for row in rows])
            computed += width * len(rows)
        truncated = sum(count > self._limit for count in counts)
        return Encoding(
            _unit(vectors), truncated, sum(lengths), computed - sum(lengths)
        )

    def _infer(
        self, texts: list[NDArray[np.uint32]], width: int
    ) -> NDArray[np.float32]:
        import torch

        arrays = _padded(texts, width, self._pad_id)
        inputs = {
            name: torch.from_numpy(arrays[name]).to(self._device)
            for name in self._inputs
        }
        with torch.inference_mode():
            found = self._model(inputs)["sentence_embedding"]
        vectors: NDArray[np.float32] = found.float().cpu().numpy()
        return vectors

    def _encode(self, texts: list[str]) -> NDArray[np.float32]:
        vectors: NDArray[np.float32] = self._model.encode_document(
            texts,
            batch_size=len(texts),
            show_progress_bar=False,
            normalize_embeddings=True,
        )
        return vectors

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


def _too_long(ids: Sequence[bytes], limit: int) -> bool:
    return max(map(len, ids), default=0) > ID_BYTES * limit


def _padded(
    texts: list[NDArray[np.uint32]], width: int, pad_id: int
) -> dict[str, NDArray[np.int64]]:
    """What a transformer takes for texts of at most `width` tokens: shape (texts, width)."""
    import numpy as np

    shape = (len(texts), width)
    inputs = {
        "input_ids": np.full(shape, pad_id, np.int64),
        "attention_mask": np.zeros(shape, np.int64),
        "token_type_ids": np.zeros(shape, np.int64),
    }
    for row, tokens in enumerate(texts):
        inputs["input_ids"][row, : len(tokens)] = tokens
        inputs["attention_mask"][row, : len(tokens)] = 1
    return inputs


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
