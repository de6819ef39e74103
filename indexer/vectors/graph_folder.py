"""The folder that keeps a converted model.

It holds the graph (`model.xml`, `model.bin`) and `about.json`: the token id to pad with and
how close the vectors are to the original's, or why there is no graph.
"""

from __future__ import annotations

import fcntl
import glob
import importlib.util
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from indexer.errors import StateError
from indexer.vectors.backend import OPENVINO, Backend

# Part of the folder's name. Raise it when what is converted, or how, changes.
VERSION = 2
GRAPH = "model.xml"
COMPILED = "compiled-"  # the beginning of the names of compiled ones
_ABANDONED_SECONDS = 3600
_TURN = ".lock"  # in the folder of all models
_TURN_POLL = 0.2  # seconds


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
    """Keep what was found out. The graph of a model that is "unsupported" is removed, and so is
    what was compiled of it.

    Raises `StateError`.
    """
    if "unsupported" in about:
        for pattern in ("model.*", f"{COMPILED}*"):
            for file in glob.glob(os.path.join(glob.escape(folder), pattern)):
                os.unlink(file)
    with writing(folder):
        with open(os.path.join(folder, "about.json"), "w", encoding="utf-8") as opened:
            json.dump(about, opened)


@contextmanager
def turn(models: str, on_wait: Callable[[], None]) -> Iterator[None]:
    """A block that one process of this user at a time has, to convert into `models`.

    `on_wait` is called if another has it. Its end, by whatever means, lets us go on. On a
    file system without locks two convert at once, which costs time alone: see `publish`.
    """
    try:
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        handle = os.open(os.path.join(models, _TURN), flags, 0o600)
    except OSError:
        yield
        return
    try:
        has_waited = False
        while _is_taken(handle):
            if not has_waited:
                on_wait()
            has_waited = True
            time.sleep(_TURN_POLL)
        yield
    finally:
        os.close(handle)


def _is_taken(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:  # there are no locks here
        return False
    return False


def publish(building: str, target: str) -> None:
    """Move a finished conversion to its place, unless another process was faster."""
    with suppress(OSError):
        os.rename(building, target)
        return
    if read_about(target) is None:
        shutil.rmtree(target, ignore_errors=True)
        try:
            os.rename(building, target)
        except OSError:
            if read_about(target) is None:
                raise


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
