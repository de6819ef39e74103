"""One sentence-transformers pipeline as one OpenVINO graph, and the folder that keeps it.

A folder holds the graph (`model.xml`, `model.bin`) and `about.json`: the token id to pad
with and how close the vectors are to the original's, or why there is no graph.
"""

from __future__ import annotations

import glob
import json
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, Any

from indexer.errors import ModelError, StateError
from indexer.vectors import quantization
from indexer.vectors.library import third_party

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from sentence_transformers import SentenceTransformer

# Part of the folder's name: raise it when what is converted, or how, changes.
VERSION = 2
GRAPH = "model.xml"
# What an embedder can feed; named as the tokenizers of transformers name them.
INPUTS = ("input_ids", "attention_mask", "token_type_ids")
_ABANDONED_SECONDS = 3600


def convert(original: SentenceTransformer, folder: str, precision: str) -> int:
    """Write the graph of the whole pipeline into `folder`. Returns the id to pad with.

    Only for int8 is the graph another one: f32 or bf16 is for who runs it to say.

    Raises `ModelError` where a graph from token ids to a vector cannot express it,
    `StateError` where it cannot be written.
    """
    problem = misfit(original)
    if problem:
        raise ModelError(problem)
    with third_party("the conversion failed"), _no_telemetry():
        graph = _trace(original)
        if precision == quantization.INT8:
            graph = quantization.quantize(graph, partial(_arrays, original))

    import openvino

    with _writing(folder):
        openvino.save_model(graph, os.path.join(folder, GRAPH), compress_to_fp16=False)
    return int(original.tokenizer.pad_token_id or 0)


def read_about(folder: str) -> dict[str, Any] | None:
    """What was found out about a conversion; None where there was none."""
    try:
        with open(os.path.join(folder, "about.json"), encoding="utf-8") as file:
            about = json.load(file)
    except (OSError, ValueError):
        return None
    return about if isinstance(about, dict) else None


def write_about(folder: str, about: dict[str, Any]) -> None:
    """Say what was found out. A model that is unsupported keeps no graph.

    Raises `StateError`.
    """
    if "unsupported" in about:
        for file in glob.glob(os.path.join(glob.escape(folder), "model.*")):
            os.unlink(file)
    with _writing(folder):
        with open(os.path.join(folder, "about.json"), "w", encoding="utf-8") as opened:
            json.dump(about, opened)


def sweep(models: str) -> None:
    """Remove what killed conversions left in the folder `models`."""
    for folder in glob.glob(os.path.join(glob.escape(models), ".tmp-*", "")):
        with suppress(FileNotFoundError):  # another process sweeps as well
            if time.time() - os.stat(folder).st_mtime > _ABANDONED_SECONDS:
                shutil.rmtree(folder, ignore_errors=True)


def publish(building: str, target: str) -> None:
    """Move a finished conversion to its place, unless another process was faster."""
    try:
        os.rename(building, target)
    except OSError:
        if read_about(target) is None:
            shutil.rmtree(target, ignore_errors=True)
            os.rename(building, target)


def misfit(original: SentenceTransformer) -> str:
    """What in the pipeline a graph from token ids to a vector cannot express, else ""."""
    from sentence_transformers.base.modules import Transformer

    if not isinstance(original[0], Transformer):
        return f"its first module is {type(original[0]).__name__}, not Transformer"
    if any(original.prompts.values()):
        return "it puts prompts before the texts"
    inputs = set(features(original, ["a"])) - set(INPUTS)
    return f"it needs {', '.join(sorted(inputs))}" if inputs else ""


def features(original: SentenceTransformer, texts: list[str]) -> dict[str, Any]:
    """The tensors that the model takes, by name."""
    found = original.preprocess(texts)
    return {name: value for name, value in found.items() if hasattr(value, "shape")}


def _arrays(original: SentenceTransformer, text: str) -> dict[str, NDArray[np.int64]]:
    """What the graph takes for a text, by name."""
    return {name: value.numpy() for name, value in features(original, [text]).items()}


def _trace(original: SentenceTransformer) -> Any:
    """The whole pipeline as one OpenVINO graph. Its inputs keep the names of the features.

    https://docs.openvino.ai, "Converting a PyTorch Model".
    """
    import openvino
    import torch

    class Pipeline(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.pipeline = original

        def forward(self, features: dict[str, torch.Tensor]) -> torch.Tensor:
            embedding: torch.Tensor = self.pipeline(features)["sentence_embedding"]
            return embedding

    # Two texts of unequal length, so that the traced path is the one with padding.
    example = features(original, ["one", "a longer text"])
    return openvino.convert_model(Pipeline().eval(), example_input=(example,))


@contextmanager
def _writing(folder: str) -> Iterator[None]:
    try:
        yield
    except (OSError, RuntimeError) as error:  # the latter from OpenVINO
        reason = str(error).strip().splitlines()[0]
        raise StateError(
            f"the converted model cannot be written to {folder}: {reason}"
        ) from error


@contextmanager
def _no_telemetry() -> Iterator[None]:
    """openvino.convert_model reports to Google Analytics, except in CI jobs."""
    before = os.environ.get("CI")
    os.environ["CI"] = "true"
    try:
        yield
    finally:
        if before is None:
            del os.environ["CI"]
        else:
            os.environ["CI"] = before
