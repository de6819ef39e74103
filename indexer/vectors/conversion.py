"""The one conversion of a model for OpenVINO on this machine, and the check of its vectors."""

from __future__ import annotations

import atexit
import os
import shutil
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from indexer.errors import ModelError, TaskError
from indexer.vectors import bert, graph, graph_folder, quantization
from indexer.vectors.agreement import (
    is_default,
    least_cosine,
    original_vectors,
    stored_vectors,
)
from indexer.vectors.backend import INT8, Backend, ModelInfo
from indexer.vectors.embedders import OpenVinoEmbedder
from indexer.vectors.graph_folder import (
    converted_folder,
    is_ready,
    openvino_version,
)
from indexer.vectors.library import (
    load_sentence_transformer,
    missing_libraries,
    quiet,
)

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

# How close each vector must be to the original's, by precision.
_LEAST_COSINE = {"f32": 0.99999, "bf16": 0.999, INT8: 0.97}


def convert_once(backend: Backend, on_step: Callable[[str], None]) -> Backend:
    """Convert the model of an OpenVINO backend, unless that was done or tried before.

    Returns the backend that has the result: a cache that cannot be written is replaced by a
    temporary one. If another process converts just now, its result is waited for. A model
    that does not fit is remembered as unsupported. `on_step` is told what takes long. Raises `ModelError` where the conversion itself cannot run, and
    `StateError` where its result cannot be written.
    """
    if not openvino_version() or is_ready(backend):
        return backend
    if backend.precision == INT8 and (problem := quantization.missing()):
        raise ModelError(problem)
    if not is_default(backend.model) and (problem := missing_libraries()):
        raise ModelError(
            f"{backend.model.name} has to be converted once, but {problem}"
        )
    models = os.path.join(backend.cache_dir, "models")
    with suppress(OSError):  # where it cannot be written, the next step says so
        os.makedirs(models, exist_ok=True)
    wait = f"waiting for another run that is converting a model in {models}"
    with graph_folder.turn(models, lambda: on_step(wait)):
        return backend if is_ready(backend) else _convert(backend, on_step)


def _convert(backend: Backend, on_step: Callable[[str], None]) -> Backend:
    name = backend.model.name
    about_seconds = 2 if is_default(backend.model) else 10
    if backend.precision == INT8:
        about_seconds = 30
    on_step(f"converting {name} for this CPU, once (about {about_seconds} s)")
    started = time.monotonic()
    backend, building = _start_building(backend, on_step)
    try:
        about = _in_own_process(_build, backend, building)
        graph_folder.write_about(building, about)
        graph_folder.publish(building, converted_folder(backend))
    finally:
        shutil.rmtree(building, ignore_errors=True)
    if "unsupported" in about:
        on_step(
            f"{name} does not run on OpenVINO in {backend.precision}: "
            f"{about['unsupported']}"
        )
    else:
        on_step(f"converted in {time.monotonic() - started:.1f} s")
    return backend


def _start_building(
    backend: Backend, on_step: Callable[[str], None]
) -> tuple[Backend, str]:
    """The backend, and a folder to convert into on the disk where the result will be."""
    import tempfile  # slow to import

    models = os.path.join(backend.cache_dir, "models")
    try:
        os.makedirs(models, exist_ok=True)
        graph_folder.sweep(models)
        return backend, tempfile.mkdtemp(prefix=".tmp-", dir=models)
    except OSError as error:
        on_step(
            f"{models} cannot be written ({error.strerror}): the conversion is not kept"
        )
    cache_dir = tempfile.mkdtemp(prefix="codx-index-")
    atexit.register(shutil.rmtree, cache_dir, ignore_errors=True)
    models = os.path.join(cache_dir, "models")
    os.mkdir(models)
    backend = replace(backend, cache_dir=cache_dir)
    return backend, tempfile.mkdtemp(prefix=".tmp-", dir=models)


def _in_own_process(
    build: Callable[[Backend, str], dict[str, Any]], backend: Backend, folder: str
) -> dict[str, Any]:
    """Convert in another process: torch or OpenVINO would stay in this one, with all their memory."""
    from indexer.pool.process import become_worker
    from indexer.pool.process_pool import ProcessPool

    with ProcessPool(1, 0, become_worker, ()) as pool:
        try:
            return pool.submit(build, backend, folder).result()
        except TaskError as error:
            raise ModelError(
                f"the conversion of {backend.model.name} was killed (out of memory?)"
            ) from error


def _build(backend: Backend, folder: str) -> dict[str, Any]:
    """Convert into `folder` and compare with the original. Returns what `about.json` says."""
    model, precision = backend.model, backend.precision
    original = None if is_default(model) else _load_original(model)
    try:
        with quiet():
            if original is None:
                pad_id = bert.write_graph(model, folder, precision)
                expected = stored_vectors()
            else:
                pad_id = graph.write_graph(original, folder, precision)
                expected = original_vectors(original)
            converted = OpenVinoEmbedder(backend, folder, pad_id, threads=1)
            cosine = least_cosine(expected, converted)
    except ModelError as error:
        return {"unsupported": str(error)}
    if not cosine >= _LEAST_COSINE[precision]:  # so that NaN does not pass
        return {
            "unsupported": f"its vectors are not the original's (cosine {cosine:.5f})"
        }
    return {"pad_id": pad_id, "cosine": cosine}


def _load_original(model: ModelInfo) -> SentenceTransformer:
    return load_sentence_transformer(model.folder, "cpu", "f32")
