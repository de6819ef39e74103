"""Puts the matrix products of a graph into int8: weights per channel, activations calibrated.

nncf runs the model over texts that ship with the package, notes the range of each
activation, and puts quantizers into the graph ("Post-training quantization",
https://docs.openvino.ai). SmoothQuant (arXiv:2211.10438) moves outliers of activations into
the weights. Attention stays as it is, because int8 gained nothing there.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable
from contextlib import redirect_stdout
from typing import TYPE_CHECKING, Any

from indexer.vectors.library import reporting_to_nobody

if TYPE_CHECKING:
    import openvino

# Products that stay as they are. What the second feed-forward product of the first layers
# reads has a few values far larger than the rest, which cause two thirds of the error.
# These are names of BERT's modules: in a model with other names, all products are changed.
_KEPT = r".*layer\.[01]\.output\.dense.*MatMul"


def missing() -> str:
    """What a person must do before `quantize` can be used, "" if nothing."""
    if importlib.util.find_spec("nncf") is not None:
        return ""
    return "int8 needs nncf to convert a model: pip install 'codx-index[int8]'"


def calibration_texts() -> list[str]:
    """Code in many languages and some prose.

    Other texts give other vectors: raise `graph_folder.VERSION` with them.
    """
    file = os.path.join(os.path.dirname(__file__), "calibration.txt")
    with open(file, encoding="utf-8") as opened:
        return opened.read().split("\n\f\n")


def quantize(
    graph: openvino.Model, features: Callable[[str], dict[str, Any]]
) -> openvino.Model:
    """The graph with int8 products. Takes about 15 s for 22 million parameters.

    `features` gives the inputs of a text, by name, as int64 arrays of shape (1, tokens).
    """
    texts = calibration_texts()
    # nncf writes its progress to stdout.
    with open(os.devnull, "w", encoding="utf-8") as nowhere, redirect_stdout(nowhere):
        with reporting_to_nobody():
            import nncf

        return nncf.quantize(
            graph,
            nncf.Dataset(texts, features),
            model_type=nncf.ModelType.TRANSFORMER,
            preset=nncf.QuantizationPreset.PERFORMANCE,
            subset_size=len(texts),
            ignored_scope=nncf.IgnoredScope(
                types=["ScaledDotProductAttention"], patterns=[_KEPT], validate=False
            ),
        )
