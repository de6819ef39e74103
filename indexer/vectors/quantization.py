"""A model's matrix products in int8: weights per channel, activations calibrated.

nncf runs the model over texts that ship with the package, notes the range of each
activation, and puts quantizers into the graph ("Post-training quantization",
https://docs.openvino.ai). SmoothQuant (arXiv:2211.10438) moves outliers of activations into
the weights. Attention stays as it is: int8 gained nothing there.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable
from contextlib import redirect_stdout
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import openvino

INT8 = "int8"
# What the second feed-forward product of the first layers reads has a few values that are
# far larger than the rest. Left out, they take two thirds of the error with them.
# (Names of BERT's modules; where a model has others, nothing is left out.)
_KEPT = r".*layer\.[01]\.output\.dense.*MatMul"


def missing() -> str:
    """What to do before `quantize` can be used; "" where it can."""
    if importlib.util.find_spec("nncf") is not None:
        return ""
    return "int8 needs nncf to convert a model: pip install 'codx-index[int8]'"


def calibration_texts() -> list[str]:
    """Code of many languages and some prose. Another set gives other vectors: change it
    with `conversion.VERSION`."""
    file = os.path.join(os.path.dirname(__file__), "calibration.txt")
    with open(file, encoding="utf-8") as opened:
        return opened.read().split("\n\f\n")


def quantize(
    graph: openvino.Model, features: Callable[[str], dict[str, Any]]
) -> openvino.Model:
    """The graph with int8 products. `features` gives the inputs of a text, by name, as
    int64 tensors of shape (1, tokens). About 15 s for 22 million parameters."""
    texts = calibration_texts()
    # It writes its progress to stdout.
    with open(os.devnull, "w", encoding="utf-8") as nowhere, redirect_stdout(nowhere):
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
