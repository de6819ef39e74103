"""Chooses what embeds: sentence-transformers on a GPU, OpenVINO on a CPU.

Any model loads with sentence-transformers. On a CPU its whole pipeline is converted once to
an OpenVINO graph, which is about four times as fast and starts without torch.
"""

from __future__ import annotations

import os
from collections.abc import Callable

from indexer.config import AUTO
from indexer.errors import ModelError, UsageError
from indexer.vectors.backend import (
    INT8,
    OPENVINO,
    SENTENCE_TRANSFORMERS,
    Backend,
    ModelInfo,
    cpu_has_bf16,
)
from indexer.vectors.gpus import find_gpus
from indexer.vectors.graph_folder import is_ready, unsupported
from indexer.vectors.library import missing_libraries


def choose_backend(
    model: ModelInfo,
    cache_dir: str,
    precision: str = AUTO,
    *,
    convert: bool,
    on_step: Callable[[str], None] = lambda message: None,
) -> Backend:
    """Decide what embeds, and with `convert` also convert the model for it.

    A GPU is used through sentence-transformers. A CPU is used through OpenVINO, unless the
    model is known not to fit. `precision` is one of `config.PRECISIONS`; "auto" never means
    int8. Without `convert` nothing slow happens, and the result is what a run would begin
    with. `CODX_INDEX_DEVICE` (cpu, cuda) and `CODX_INDEX_BACKEND` (openvino,
    sentence-transformers) overrule this choice; either may be "auto". `on_step` is told what
    takes long.

    Raises `UsageError` for other values, and `ModelError` where they ask for what this
    machine does not have or the model cannot be loaded at all.
    """
    device = _override("CODX_INDEX_DEVICE", "cpu", "cuda")
    kind = _override("CODX_INDEX_BACKEND", OPENVINO, SENTENCE_TRANSFORMERS)
    _check_overrides(device, kind, precision)
    if precision == INT8:
        kind = OPENVINO  # nothing else computes it

    if kind != OPENVINO and device != "cpu":
        backend = _on_gpus(model, cache_dir, precision, is_asked=device == "cuda")
        if backend is not None:
            return backend
    if device == "cuda":
        problem = missing_libraries() or "torch finds no such device here"
        raise ModelError(f"CODX_INDEX_DEVICE=cuda, but {problem}")

    reason = ""
    if kind != SENTENCE_TRANSFORMERS:
        for candidate in _cpu_precisions(precision):
            backend = Backend(model, OPENVINO, "cpu", candidate, cache_dir)
            if convert and not is_ready(backend):
                from indexer.vectors.conversion import convert_once

                backend = convert_once(backend, on_step)
            reason = unsupported(backend)
            if not reason:
                return backend
    if kind == OPENVINO:
        raise ModelError(f"{model.name} cannot run on OpenVINO: {reason}")
    if convert and (problem := missing_libraries()):
        why = f"CODX_INDEX_BACKEND={kind}"
        if kind == AUTO:
            why = f"{model.name} cannot run on OpenVINO ({reason})"
        raise ModelError(f"{why}, but {problem}")
    used = "f32" if precision == AUTO else precision
    return Backend(model, SENTENCE_TRANSFORMERS, "cpu", used, cache_dir)


def _override(variable: str, *choices: str) -> str:
    value = os.environ.get(variable) or AUTO
    if value not in (AUTO, *choices):
        raise UsageError(
            f"{variable} is {value!r}: use one of auto, {', '.join(choices)}"
        )
    return value


def _check_overrides(device: str, kind: str, precision: str) -> None:
    if kind == OPENVINO and device == "cuda":
        raise UsageError(
            "CODX_INDEX_BACKEND=openvino runs on the CPU: unset CODX_INDEX_DEVICE"
        )
    if precision == INT8 and (kind == SENTENCE_TRANSFORMERS or device == "cuda"):
        raise UsageError(
            "--precision int8 runs on the CPU with OpenVINO: "
            "unset CODX_INDEX_BACKEND and CODX_INDEX_DEVICE"
        )


def _on_gpus(
    model: ModelInfo, cache_dir: str, precision: str, *, is_asked: bool
) -> Backend | None:
    gpus = find_gpus(cache_dir, is_asked=is_asked)
    if not gpus.number:
        return None
    best = "bf16" if gpus.has_bf16 else "f32"
    used = best if precision == AUTO else precision
    return Backend(model, SENTENCE_TRANSFORMERS, "cuda", used, cache_dir, gpus.number)


def _cpu_precisions(asked: str) -> list[str]:
    """The precisions to try with OpenVINO, best first."""
    if asked != AUTO:
        return [asked]
    return ["bf16", "f32"] if cpu_has_bf16() else ["f32"]
