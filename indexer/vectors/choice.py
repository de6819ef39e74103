"""Texts to vectors: which backend computes them, its one-time conversion, its use.

Any model loads with sentence-transformers. On a CPU its whole pipeline is converted once
to an OpenVINO graph, which is about four times as fast and starts without torch.

A vector is a pure function of its text: padding reaches into the last bits of a result,
so every text is padded to a width that follows from its own length alone, and only texts
of equal width share a batch.
"""

from __future__ import annotations

import glob
import importlib.util
import os
from collections.abc import Callable
from typing import NamedTuple

from indexer.config import AUTO
from indexer.errors import ModelError, UsageError
from indexer.vectors import conversion
from indexer.vectors.backend import (
    OPENVINO,
    SENTENCE_TRANSFORMERS,
    Backend,
    ModelInfo,
    converted_folder,
    cpu_has_bf16,
)
from indexer.vectors.converted import _converted, unsupported
from indexer.vectors.library import quiet, recall, remember, third_party
from indexer.vectors.quantization import INT8


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
            reason = unsupported(backend)
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
    return conversion.read_about(converted_folder(backend)) is not None


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
    return ["bf16", "f32"] if cpu_has_bf16() else ["f32"]


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


# Embedding
