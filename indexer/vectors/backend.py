"""What runs a model on this machine, and in which precision."""

from __future__ import annotations

from msgspec import Struct

OPENVINO = "openvino"
SENTENCE_TRANSFORMERS = "sentence-transformers"
ENDPOINT = "endpoint"
INT8 = "int8"


class ModelInfo(Struct, frozen=True):
    """A sentence-transformers model on this machine, or what is known of an endpoint's model.

    `name` is as the user gave it, and is only shown. `digest` is the model's identity: the
    hex sha256 over the files that decide the vectors. `dimension` is that of the vectors.
    `max_tokens` is the length of the longest text that the model takes, special tokens
    included.

    Of an endpoint's model, `name` is the `Endpoint.label`, `dimension` is 0 until the endpoint
    was asked, and `folder` has only the tokenizer: "" if there is none.
    """

    name: str
    folder: str
    digest: str
    dimension: int
    max_tokens: int


class Backend(Struct, frozen=True):
    """All that a worker needs to embed. It can be pickled.

    `kind` is "openvino", "sentence-transformers" or "endpoint", which only chunks are made for. `device` is "cpu", one GPU such as
    "cuda:0", or "cuda" for all of them, which `gpus` counts. `precision` is "f32", "bf16" or
    "int8": it changes the vectors, so it belongs to the fingerprint.
    """

    model: ModelInfo
    kind: str
    device: str
    precision: str
    cache_dir: str
    gpus: int = 0


def compute_precision(backend: Backend) -> str:
    """The precision of what the graph leaves open: in int8, of all but the products."""
    if backend.precision == INT8:
        return "bf16" if cpu_has_bf16() else "f32"
    return backend.precision


def cpu_has_bf16() -> bool:
    """Whether bf16 is faster than f32 on this CPU."""
    # OpenVINO knows this too, but its import takes long.
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
            flags = next(
                (line.split() for line in file if line.startswith("flags")), []
            )
    except OSError:
        return False
    return "avx512_bf16" in flags or "amx_bf16" in flags
