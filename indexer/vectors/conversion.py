"""The one conversion of a model for OpenVINO on this machine, and the check of its vectors."""

from __future__ import annotations

import atexit
import os
import shutil
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from indexer.errors import ModelError, TaskError
from indexer.vectors import graph_folder, quantization
from indexer.vectors.backend import INT8, Backend
from indexer.vectors.embedders import Embedder, OpenVinoEmbedder
from indexer.vectors.graph import write_graph
from indexer.vectors.graph_folder import (
    converted_folder,
    is_ready,
    openvino_version,
)
from indexer.vectors.library import load_sentence_transformer, quiet

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
    models = os.path.join(backend.cache_dir, "models")
    with suppress(OSError):  # where it cannot be written, the next step says so
        os.makedirs(models, exist_ok=True)
    wait = f"waiting for another run, which converts a model in {models}"
    with graph_folder.turn(models, lambda: on_step(wait)):
        return backend if is_ready(backend) else _convert(backend, on_step)


def _convert(backend: Backend, on_step: Callable[[str], None]) -> Backend:
    about_seconds = 30 if backend.precision == INT8 else 10
    on_step(
        f"converting {backend.model.name} for this CPU, once (about {about_seconds} s)"
    )
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
            f"{backend.model.name} does not run on OpenVINO in {backend.precision}: "
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
    """Convert in another process: torch would stay in this one, with 500 MB and its threads."""
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
    original = load_sentence_transformer(backend.model.folder, "cpu", "f32")
    try:
        with quiet():
            pad_id = write_graph(original, folder, backend.precision)
            converted = OpenVinoEmbedder(backend, folder, pad_id, threads=1)
            cosine = _least_cosine(original, converted)
    except ModelError as error:
        return {"unsupported": str(error)}
    if not cosine >= _LEAST_COSINE[backend.precision]:  # so that NaN does not pass
        return {
            "unsupported": f"its vectors are not the original's (cosine {cosine:.5f})"
        }
    return {"pad_id": pad_id, "cosine": cosine}


def _least_cosine(original: SentenceTransformer, converted: Embedder) -> float:
    """The least agreement over texts of many lengths, each in a batch with others."""
    text = "def main(argv: list[str]) -> int:  # Über 'naïve' café\n    return 0\n"
    texts = [
        (text * 40)[: 3 * length] for length in (1, 2, 3, 5, 8, 13, 21, 22, 34, 55, 89)
    ]
    texts += [text * repeat for repeat in (5, 8, 13)]
    expected = original.encode(
        texts, normalize_embeddings=True, show_progress_bar=False
    )
    return float((converted.encode(texts).vectors * expected).sum(axis=1).min())
