"""Turns a sentence-transformers pipeline into one OpenVINO graph."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from indexer.errors import ModelError
from indexer.vectors.graph_file import save
from indexer.vectors.library import import_converter, third_party

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from sentence_transformers import SentenceTransformer

# What an embedder can feed, by the names that the tokenizers of transformers use.
INPUTS = ("input_ids", "attention_mask", "token_type_ids")


def write_graph(original: SentenceTransformer, folder: str, precision: str) -> int:
    """Write the graph of the whole pipeline into `folder`. Returns the token id to pad with.

    Raises `ModelError` where a graph from token ids to a vector cannot express the pipeline,
    and `StateError` where the graph cannot be written.
    """
    problem = misfit(original)
    if problem:
        raise ModelError(problem)
    with third_party("the conversion failed"):
        graph = _trace(original)
    save(graph, folder, precision, partial(_arrays, original))
    return int(original.tokenizer.pad_token_id or 0)


def misfit(original: SentenceTransformer) -> str:
    """What a graph from token ids to a vector cannot express of the pipeline, or ""."""
    from sentence_transformers.base.modules import Transformer

    if not isinstance(original[0], Transformer):
        return f"its first module is {type(original[0]).__name__}, not Transformer"
    if any(original.prompts.values()):
        return "it puts prompts before the texts"
    inputs = set(features(original, ["a"])) - set(INPUTS)
    return f"it needs {', '.join(sorted(inputs))}" if inputs else ""


def features(original: SentenceTransformer, texts: list[str]) -> dict[str, Any]:
    """The tensors that the model takes for the texts, by name."""
    found = original.preprocess(texts)
    return {name: value for name, value in found.items() if hasattr(value, "shape")}


def _arrays(original: SentenceTransformer, text: str) -> dict[str, NDArray[np.int64]]:
    """The inputs of the graph for one text, by name."""
    return {name: value.numpy() for name, value in features(original, [text]).items()}


def _trace(original: SentenceTransformer) -> Any:
    """The whole pipeline as one OpenVINO graph. Its inputs keep the names of the features.

    https://docs.openvino.ai, "Converting a PyTorch Model".
    """
    import torch

    class Pipeline(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.pipeline = original

        def forward(self, features: dict[str, torch.Tensor]) -> torch.Tensor:
            embedding: torch.Tensor = self.pipeline(features)["sentence_embedding"]
            return embedding

    # Two texts of unequal length make the trace take the path with padding.
    example = features(original, ["one", "a longer text"])
    return import_converter()(Pipeline().eval(), example_input=(example,))
