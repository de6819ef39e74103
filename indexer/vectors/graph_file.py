"""Writes the graph of a model into its folder, in int8 if that is asked for."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from indexer.vectors import quantization
from indexer.vectors.backend import INT8
from indexer.vectors.graph_folder import GRAPH, writing
from indexer.vectors.library import import_openvino, third_party


def save(
    graph: Any, folder: str, precision: str, features: Callable[[str], dict[str, Any]]
) -> None:
    """Write an OpenVINO graph into `folder`.

    f32 and bf16 share a graph, because the embedder that runs it chooses between them. That
    of int8 is another. `features` gives the inputs of a text, as `quantization` wants them.

    Raises `ModelError` where the graph cannot be quantized, and `StateError` where it cannot
    be written.
    """
    if precision == INT8:
        with third_party("the conversion failed"):
            graph = quantization.quantize(graph, features)
    with writing(folder):
        import_openvino().save_model(
            graph, os.path.join(folder, GRAPH), compress_to_fp16=False
        )
