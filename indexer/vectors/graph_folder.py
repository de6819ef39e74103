"""The folder that keeps a converted model.

It holds the graph (`model.xml`, `model.bin`) and `about.json`: the token id to pad with and
how close the vectors are to the original's, or why there is no graph.
"""

from __future__ import annotations

import glob
import importlib.util
import json
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from indexer.errors import StateError
from indexer.vectors.backend import OPENVINO, Backend

# Part of the folder's name. Raise it when what is converted, or how, changes.
VERSION = 2
GRAPH = "model.xml"
_ABANDONED_SECONDS = 3600


def converted_folder(backend: Backend) -> str:
    """Where the converted model, or the reason why there is none, is kept."""
    parts = [backend.model.digest[:16], backend.precision]
    parts += [openvino_version(), str(VERSION)]
    return os.path.join(backend.cache_dir, "models", "-".join(parts))


def openvino_version() -> str:
    """The installed version of OpenVINO, "" without one."""
    spec = importlib.util.find_spec("openvino")
    if spec is None or spec.origin is None:
        return ""
    # The name of this folder tells as much as importlib.metadata, whose import is slow.
    site = os.path.dirname(os.path.dirname(spec.origin))
    found = glob.glob("openvino-*.dist-info", root_dir=site)
    if len(found) == 1:
        return found[0].removeprefix("openvino-").removesuffix(".dist-info")
    from importlib import metadata

    return metadata.version("openvino")


def read_about(folder: str) -> dict[str, Any] | None:
    """What was found out about a conversion, None where there was none."""
    try:
        with open(os.path.join(folder, "about.json"), encoding="utf-8") as file:
            about = json.load(file)
    except (OSError, ValueError):
        return None
    return about if isinstance(about, dict) else None


def is_ready(backend: Backend) -> bool:
    """Whether the model needs no conversion, or none any more."""
    if backend.kind != OPENVINO:
        return True
    return read_about(converted_folder(backend)) is not None


def unsupported(backend: Backend) -> str:
    """Why this OpenVINO backend is known not to work, "" as long as that is not known."""
    if not openvino_version():
        return "it is not installed"
    about = read_about(converted_folder(backend)) or {}
    return str(about.get("unsupported", ""))


def write_about(folder: str, about: dict[str, Any]) -> None:
    """Keep what was found out. The graph of a model that is "unsupported" is removed.

    Raises `StateError`.
    """
    if "unsupported" in about:
        for file in glob.glob(os.path.join(glob.escape(folder), "model.*")):
            os.unlink(file)
    with writing(folder):
        with open(os.path.join(folder, "about.json"), "w", encoding="utf-8") as opened:
            json.dump(about, opened)


def publish(building: str, target: str) -> None:
    """Move a finished conversion to its place, unless another process was faster."""
    try:
        os.rename(building, target)
    except OSError:
        if read_about(target) is None:
            shutil.rmtree(target, ignore_errors=True)
            os.rename(building, target)


def sweep(models: str) -> None:
    """Remove what killed conversions left in the folder `models`."""
    for folder in glob.glob(os.path.join(glob.escape(models), ".tmp-*", "")):
        with suppress(FileNotFoundError):  # another process sweeps as well
            if time.time() - os.stat(folder).st_mtime > _ABANDONED_SECONDS:
                shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def writing(folder: str) -> Iterator[None]:
    """Turn whatever goes wrong while `folder` is written into a `StateError`."""
    try:
        yield
    except (OSError, RuntimeError) as error:  # OpenVINO raises RuntimeError
        reason = str(error).strip().splitlines()[0]
        raise StateError(
            f"the converted model cannot be written to {folder}: {reason}"
        ) from error
