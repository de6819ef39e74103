"""What runs a model on this machine, and in which precision."""

from __future__ import annotations

import glob
import importlib.util
import os
from dataclasses import dataclass

from indexer.vectors import conversion
from indexer.vectors.quantization import INT8

OPENVINO = "openvino"


SENTENCE_TRANSFORMERS = "sentence-transformers"


@dataclass(frozen=True, slots=True)
class Backend:
    """All a worker needs to embed. Picklable.

    `kind` is "openvino" or "sentence-transformers". `device` is "cpu" or "cuda", with its
    `gpus` counted, or one of these: "cuda:0". `precision`, "f32", "bf16" or "int8", changes
    the vectors and so belongs to the fingerprint.
    """

    model: ModelInfo
    kind: str
    device: str
    precision: str
    cache_dir: str
    gpus: int = 0


def compute_precision(backend: Backend) -> str:
    """How OpenVINO computes what the graph leaves open: for int8, all but the products."""
    if backend.precision == INT8:
        return "bf16" if cpu_has_bf16() else "f32"
    return backend.precision


def cpu_has_bf16() -> bool:
    """Whether bf16 is faster than f32 here. Asking OpenVINO would cost its import."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
            flags = next(
                (line.split() for line in file if line.startswith("flags")), []
            )
    except OSError:
        return False
    return "avx512_bf16" in flags or "amx_bf16" in flags


def converted_folder(backend: Backend) -> str:
    """Where the converted model lies, or the reason why there is none."""
    parts = [backend.model.digest[:16], backend.precision]
    parts += [openvino_version(), str(conversion.VERSION)]
    return os.path.join(backend.cache_dir, "models", "-".join(parts))


def openvino_version() -> str:
    """The version that is installed, empty where there is none."""
    spec = importlib.util.find_spec("openvino")
    if spec is None or spec.origin is None:
        return ""
    # Its name tells as much as importlib.metadata, whose import alone costs 35 ms.
    site = os.path.dirname(os.path.dirname(spec.origin))
    found = glob.glob("openvino-*.dist-info", root_dir=site)
    if len(found) == 1:
        return found[0].removeprefix("openvino-").removesuffix(".dist-info")
    from importlib import metadata

    return metadata.version("openvino")


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """A sentence-transformers model on this machine.

    `name` is as the user gave it and is only shown; `digest`, the hex sha256 over the
    files that decide the vectors, is the model's identity. `max_tokens` is the longest
    text the model takes, special tokens included.
    """

    name: str
    folder: str
    digest: str
    dimension: int
    max_tokens: int
