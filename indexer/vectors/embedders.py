"""From texts to vectors: one embedder for OpenVINO, one for torch."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from indexer.errors import ModelError
from indexer.types import ID_BYTES
from indexer.vectors import conversion
from indexer.vectors.backend import (
    OPENVINO,
    Backend,
    compute_precision,
    converted_folder,
)
from indexer.vectors.library import load_sentence_transformer, quiet, third_party
from indexer.vectors.tokenizer import load_raw_tokenizer, load_tokenizer

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


# Another step gives vectors that differ in their last bits: change it with the fingerprint.
_WIDTH_STEP = 8


_OPENVINO_BATCH = 4


# torch picks its kernels by the shape of the batch; alone, a text always has the same.
_TORCH_BATCH = {"cpu": 1, "cuda": 256}


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


def load_embedder(backend: Backend, threads: int = 1) -> Embedder:
    """Load what `choose_backend` chose, for `threads` CPU threads. Raises `ModelError`.

    With OpenVINO 0.5 s, without importing torch; otherwise about 6 s.
    """
    if backend.kind == OPENVINO:
        folder = converted_folder(backend)
        about = conversion.read_about(folder)
        if about is None or "pad_id" not in about:
            raise ModelError(f"there is no converted model in {folder}: run again")
        return OpenVinoEmbedder(backend, folder, about["pad_id"], threads)
    return _TorchEmbedder(backend, threads)


class OpenVinoEmbedder:
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
                    "INFERENCE_PRECISION_HINT": compute_precision(backend),
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
