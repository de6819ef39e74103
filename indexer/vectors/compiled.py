"""A converted model made ready for the CPU, and kept so that the next process need not do it again.

Compiling the graph for this CPU takes 0.2 s in each process. Keeping the result takes 0.4 MB, because
the weights stay where they are. OpenVINO's own cache of compiled models writes in place, so a kill
leaves half a file there.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from indexer.vectors.graph_folder import COMPILED, GRAPH

WEIGHTS = "model.bin"
_SUFFIX = ".blob"
_MOST = 8  # files that are kept: for the CPUs and settings that shared the folder last
_DIGEST_BYTES = 32
# What OpenVINO exports is without the weights.
_WITHOUT_WEIGHTS = {"CACHE_MODE": "OPTIMIZE_SIZE"}


def compile_graph(core: Any, folder: str, options: Mapping[str, object]) -> Any:
    """The model in `folder`, compiled for the CPU with these options of OpenVINO.

    Raises whatever OpenVINO raises.
    """
    options = {**options, **_WITHOUT_WEIGHTS}
    path = os.path.join(folder, f"{COMPILED}{_key(folder, options)}{_SUFFIX}")
    if (kept := _read(path)) is not None:
        weights = os.path.join(folder, WEIGHTS)
        # It may be of an OpenVINO that was built otherwise; then it is compiled anew.
        with suppress(RuntimeError):
            return core.import_model(kept, "CPU", {**options, "WEIGHTS_PATH": weights})
    compiled = core.compile_model(os.path.join(folder, GRAPH), "CPU", options)
    with suppress(OSError, RuntimeError):  # it only saves time
        _write(path, compiled.export_model().getvalue())
    return compiled


def _key(folder: str, options: Mapping[str, object]) -> str:
    """What the compiled model depends on, apart from the version of OpenVINO."""
    files = [os.stat(os.path.join(folder, name)) for name in (GRAPH, WEIGHTS)]
    parts = [
        options,
        _cpu(),
        [(one.st_size, one.st_mtime_ns) for one in files],
    ]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


def _cpu() -> list[str]:
    """What the CPU is, and what it can."""
    wanted = ("model name", "flags", "Features", "CPU part")
    found: dict[str, str] = {}
    with suppress(OSError):
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
            for line in file:
                name, _, value = line.partition(":")
                if name.strip() in wanted:
                    found.setdefault(name.strip(), value.strip())
                elif not line.strip() and found:
                    break  # the next one is alike
    return [os.uname().machine, *found.values()]


def _read(path: str) -> bytes | None:
    """What was kept, None unless it is there as it was written."""
    try:
        with open(path, "rb") as file:
            digest, data = file.read(_DIGEST_BYTES), file.read()
    except OSError:
        return None
    return data if hashlib.sha256(data).digest() == digest else None


def _write(path: str, data: bytes) -> None:
    import tempfile  # slow to import

    folder = os.path.dirname(path)
    handle, part = tempfile.mkstemp(dir=folder, prefix=".tmp-")
    try:
        with open(handle, "wb") as file:
            file.write(hashlib.sha256(data).digest() + data)
        os.replace(part, path)
    except BaseException:
        os.unlink(part)
        raise
    _forget_old(folder)


def _forget_old(folder: str) -> None:
    names = [name for name in os.listdir(folder) if name.startswith(COMPILED)]
    paths = [os.path.join(folder, name) for name in names if name.endswith(_SUFFIX)]
    for path in sorted(paths, key=os.path.getmtime)[:-_MOST]:
        os.unlink(path)
