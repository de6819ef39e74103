"""From texts to vectors: the embedders, which run a model with OpenVINO or torch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Protocol

from msgspec import Struct

from indexer.errors import ModelError
from indexer.vectors import batches, graph
from indexer.vectors.backend import OPENVINO, Backend, compute_precision
from indexer.vectors.batches import group_by_width, has_longer, pad, scale_to_unit
from indexer.vectors.compiled import compile_graph
from indexer.vectors.graph_folder import converted_folder, read_about
from indexer.vectors.library import (
    import_openvino,
    load_sentence_transformer,
    quiet,
    third_party,
)
from indexer.vectors.tokenizer import load_raw_tokenizer, load_tokenizer

if TYPE_CHECKING:
    import numpy as np
    import tokenizers
    import torch
    from numpy.typing import NDArray

# Texts in a batch. torch picks its kernels by the shape of the batch, so on a CPU each text
# is alone: then it always has the same one.
_OPENVINO_BATCH = 4
_TORCH_BATCH = {"cpu": 1, "cuda": 1_024}
# Tokens in a batch, padding included: as many as 512 of the longest texts of the default
# model. 1,024 texts of a model that takes 8,192 tokens would need 64 times the memory.
_TORCH_TOKENS = 131_072
# A GPU computes padding for nothing, but each batch costs it the same 10 ms of Python.
_TORCH_STEP = {"cpu": batches.WIDTH_STEP, "cuda": 64}


class Encoding(Struct, frozen=True):
    """What became of some texts.

    `vectors` has the shape (texts, dimension), float32, in the order of the texts and with
    unit length. `truncated` counts the texts that were too long for the model and lost
    their end. The model computed `tokens`, special ones included, and `padding` beside them.
    """

    vectors: NDArray[np.float32]
    truncated: int
    tokens: int
    padding: int


class Embedder(Protocol):
    """A loaded model. Threads must not share one."""

    dimension: int

    def encode(
        self, texts: Sequence[str], ids: Sequence[bytes] | None = None
    ) -> Encoding:
        """Embed texts that are to be found. Their `Chunk.ids` save tokenizing them again.

        Raises `ModelError` on NaN, infinite or zero vectors.
        """
        ...

    def encode_query(self, text: str) -> NDArray[np.float32]:
        """Embed a text that is to find others: shape (dimension,), float32, unit length.

        It differs from `encode` for models that are trained to see queries differently.
        """
        ...


def load_embedder(
    backend: Backend,
    threads: int = 1,
    *,
    before_compiling: Callable[[], None] = lambda: None,
) -> Embedder:
    """Load what `choose_backend` chose, for `threads` CPU threads. Raises `ModelError`.

    OpenVINO takes a tenth of a second, as it does not import torch; `before_compiling` is called
    before the part of that which needs no Python. Otherwise it takes several seconds.
    """
    if backend.kind != OPENVINO:
        return TorchEmbedder(backend, threads)
    folder = converted_folder(backend)
    about = read_about(folder)
    if about is None or "pad_id" not in about:
        raise ModelError(f"there is no converted model in {folder}: run again")
    with third_party("OpenVINO cannot be imported"):
        import_openvino()
    before_compiling()
    return OpenVinoEmbedder(backend, folder, about["pad_id"], threads)


class OpenVinoEmbedder:
    """Runs a converted model. It imports neither torch nor transformers."""

    def __init__(
        self, backend: Backend, folder: str, pad_id: int, threads: int
    ) -> None:
        self.dimension = backend.model.dimension
        self._limit = backend.model.max_tokens
        self._pad_id = pad_id
        self._folder = backend.model.folder
        with third_party(
            f"the converted model in {folder} cannot be loaded (delete it)"
        ):
            core = import_openvino().Core()
            compiled = compile_graph(
                core,
                folder,
                {
                    "INFERENCE_NUM_THREADS": threads,
                    "NUM_STREAMS": 1,
                    # With pinning, all one-thread processes end up on the same core.
                    "ENABLE_CPU_PINNING": False,
                    "INFERENCE_PRECISION_HINT": compute_precision(backend),
                },
            )
        self._request = compiled.create_infer_request()
        self._inputs = [tensor.any_name for tensor in compiled.inputs]

    @cached_property
    def _tokenizer(self) -> tokenizers.Tokenizer:
        """Of texts whose tokens are not known, such as queries."""
        tokenizer = load_raw_tokenizer(self._folder)
        tokenizer.enable_truncation(self._limit)
        return tokenizer

    def encode(
        self, texts: Sequence[str], ids: Sequence[bytes] | None = None
    ) -> Encoding:
        import numpy as np

        truncated = 0
        if ids is not None and not has_longer(ids, self._limit):
            tokens = [np.frombuffer(one, np.uint32) for one in ids]
        else:
            encodings = self._tokenizer.encode_batch_fast(list(texts))
            tokens = [np.array(encoding.ids, np.uint32) for encoding in encodings]
            truncated = sum(bool(encoding.overflowing) for encoding in encodings)
        lengths = [len(one) for one in tokens]
        vectors = np.empty((len(texts), self.dimension), np.float32)
        computed = 0
        for width, rows in group_by_width(lengths, self._limit, _OPENVINO_BATCH):
            vectors[rows] = self._infer([tokens[row] for row in rows], width)
            computed += width * len(rows)
        return Encoding(
            scale_to_unit(vectors), truncated, sum(lengths), computed - sum(lengths)
        )

    def encode_query(self, text: str) -> NDArray[np.float32]:
        vector: NDArray[np.float32] = self.encode([text]).vectors[0]
        return vector

    def _infer(
        self, texts: list[NDArray[np.uint32]], width: int
    ) -> NDArray[np.float32]:
        inputs = pad(texts, width, self._pad_id)
        with third_party("the model failed"):
            outputs = self._request.infer({name: inputs[name] for name in self._inputs})
        # This is a view of memory that the next call writes over.
        vectors: NDArray[np.float32] = outputs[0]
        return vectors


class TorchEmbedder:
    """Runs any model that sentence-transformers can load.

    The kernels of a GPU depend on the shape of the batch. So there, the last bits of a
    vector may depend on the texts that shared its batch.
    """

    def __init__(self, backend: Backend, threads: int) -> None:
        self.dimension = backend.model.dimension
        self._limit = backend.model.max_tokens
        self._device = backend.device
        kind = backend.device.partition(":")[0]
        self._batch, self._step = _TORCH_BATCH[kind], _TORCH_STEP[kind]
        self._tokenizer = load_tokenizer(backend.model)
        folder = backend.model.folder
        self._model = load_sentence_transformer(
            folder, backend.device, backend.precision
        )
        with third_party(f"{folder} has no usable tokenizer"), quiet():
            # Known ids are only of use to a model that takes nothing but tokens.
            fits = not graph.misfit(self._model)
            self._inputs = list(graph.features(self._model, ["a"])) if fits else []
            self._pad_id = self._model.tokenizer.pad_token_id or 0
        import torch

        torch.set_num_threads(threads)

    def encode(
        self, texts: Sequence[str], ids: Sequence[bytes] | None = None
    ) -> Encoding:
        import numpy as np

        known = ids if self._inputs else None
        if known is not None and not has_longer(known, self._limit):
            tokens = [np.frombuffer(one, np.uint32) for one in known]
            counts = [len(one) for one in tokens]
        else:
            tokens, counts = [], self._tokenizer.count(texts)
        lengths = [min(count, self._limit) for count in counts]
        vectors = np.empty((len(texts), self.dimension), np.float32)
        computed = 0
        groups = group_by_width(
            lengths, self._limit, self._batch, _TORCH_TOKENS, self._step
        )
        inferred: list[tuple[list[int], torch.Tensor]] = []
        with third_party("the model failed"), quiet():
            for _, rows in groups:
                width = max(lengths[row] for row in rows)
                if tokens:
                    found = self._infer([tokens[row] for row in rows], width)
                    inferred.append((rows, found))
                else:
                    vectors[rows] = self._encode([texts[row] for row in rows])
                computed += width * len(rows)
            # To read a result is to wait for it. A GPU idles while its next batch is padded,
            # unless that one was sent before.
            for rows, found in inferred:
                vectors[rows] = found.cpu().numpy()
        truncated = sum(count > self._limit for count in counts)
        return Encoding(
            scale_to_unit(vectors), truncated, sum(lengths), computed - sum(lengths)
        )

    def _infer(self, texts: list[NDArray[np.uint32]], width: int) -> torch.Tensor:
        """The vectors in f32, on the device. A GPU may still be at work on them."""
        import torch

        arrays = pad(texts, width, self._pad_id)
        inputs = {
            name: torch.from_numpy(arrays[name]).to(self._device, non_blocking=True)
            for name in self._inputs
        }
        with torch.inference_mode():
            found: torch.Tensor = self._model(inputs)["sentence_embedding"].float()
        return found

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
        vector: NDArray[np.float32] = scale_to_unit(vectors)[0]
        return vector
