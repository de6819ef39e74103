"""The GPUs that torch can use, found once and remembered."""

from __future__ import annotations

import glob
import importlib.util
import os
from typing import NamedTuple

from indexer.vectors.library import missing_libraries, quiet, third_party
from indexer.vectors.memo import recall, remember


class Gpus(NamedTuple):
    """How many GPUs there are, and whether all of them compute in bf16."""

    number: int
    has_bf16: bool


NO_GPUS = Gpus(0, False)


def find_gpus(cache_dir: str, *, is_asked: bool) -> Gpus:
    """The GPUs of this machine.

    torch takes seconds to import, so its answer is remembered below `cache_dir`. Where a
    person wants GPUs (`is_asked`), torch is asked even if no device shows, and again if it
    found none before. Raises `ModelError` where torch cannot be loaded.
    """
    nodes = sorted(glob.glob("/dev/nvidia[0-9]*"))
    if not (nodes or is_asked) or missing_libraries():
        return NO_GPUS
    spec = importlib.util.find_spec("torch")
    if spec is None or spec.origin is None:
        return NO_GPUS
    memo = os.path.join(cache_dir, "models", "cuda.json")
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "")
    torch = [spec.origin, os.stat(spec.origin).st_mtime_ns]
    stamp = [nodes, visible, _driver(), *torch]
    found = recall(memo, stamp)
    try:
        gpus = Gpus(int(found[0]), bool(found[1]))
    except (TypeError, ValueError, LookupError):
        gpus = NO_GPUS
    if found is None or (is_asked and not gpus.number):
        with third_party("torch cannot be loaded"), quiet():
            gpus = _ask_torch()
        remember(memo, stamp, list(gpus))
    return gpus


def _driver() -> str:
    """What the driver says of its version. With another one, torch may see other devices."""
    try:
        with open("/proc/driver/nvidia/version", encoding="utf-8") as file:
            return file.read()
    except (OSError, ValueError):
        return ""


def _ask_torch() -> Gpus:
    import torch

    if not torch.cuda.is_available():
        return NO_GPUS
    found = range(torch.cuda.device_count())
    # The first generation that computes in bf16 is Ampere.
    has_bf16 = all(torch.cuda.get_device_capability(gpu) >= (8, 0) for gpu in found)
    return Gpus(len(found), has_bf16)
