"""The compiled model that is kept: the same vectors, and never the reason why there are none."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from indexer.config import DEFAULT_MODEL
from indexer.vectors import compiled
from indexer.vectors.backend import Backend
from indexer.vectors.choice import choose_backend
from indexer.vectors.compiled import compile_graph
from indexer.vectors.embedders import load_embedder
from indexer.vectors.graph_folder import converted_folder
from indexer.vectors.library import import_openvino
from indexer.vectors.model import resolve_model

TEXTS = ["one", "def retry(order): return order", "x " * 300, "größer 🙂"]


@pytest.fixture
def backend(model_cache: Path, tmp_path: Path) -> Backend:
    """The default model, in a folder of its own without a compiled one."""
    cache = str(model_cache)
    model = resolve_model(DEFAULT_MODEL, cache)
    first = choose_backend(model, cache, convert=True)
    source = Path(converted_folder(first))
    folder = tmp_path / "models" / source.name
    folder.mkdir(parents=True)
    for name in ("model.xml", "model.bin", "about.json"):
        os.link(source / name, folder / name)
    return choose_backend(model, str(tmp_path), convert=False)


def kept(backend: Backend) -> list[Path]:
    return sorted(Path(converted_folder(backend)).glob("compiled-*.blob"))


def vectors(backend: Backend) -> Any:
    return load_embedder(backend).encode(TEXTS).vectors


@pytest.fixture
def sources(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Where each model came from, in turn."""
    core, found = import_openvino().Core, []

    def noting(name: str) -> Callable[..., Any]:
        function = getattr(core, name)

        def noted(*arguments: Any) -> Any:
            found.append(name)
            return function(*arguments)

        return noted

    for name in ("compile_model", "import_model"):
        monkeypatch.setattr(core, name, noting(name))
    return found


def test_the_second_process_gets_the_same_vectors(
    backend: Backend, sources: list[str]
) -> None:
    first, second = vectors(backend), vectors(backend)
    assert sources == ["compile_model", "import_model"]
    assert np.array_equal(first, second)
    (file,) = kept(backend)
    assert file.stat().st_size < 1_000_000
    assert file.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("kind", ["empty", "torn", "a bit", "noise", "a folder"])
def test_a_damaged_one_is_compiled_anew(
    kind: str, backend: Backend, sources: list[str]
) -> None:
    first = vectors(backend)
    (file,) = kept(backend)
    data = file.read_bytes()
    if kind == "a folder":
        file.unlink()
        file.mkdir()
    else:
        flipped = bytearray(data)
        flipped[len(data) // 2] ^= 4
        damage = {"empty": b"", "torn": data[:-9], "noise": b"x" * 99}
        file.write_bytes(damage.get(kind, bytes(flipped)))
    assert np.array_equal(vectors(backend), first)
    assert sources == ["compile_model"] * 2
    if kind != "a folder":
        assert file.read_bytes() == data
    assert not [*file.parent.glob(".tmp-*")]


def test_what_openvino_refuses_is_compiled_anew(
    backend: Backend, sources: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = vectors(backend)
    (file,) = kept(backend)
    with monkeypatch.context() as patch:
        patch.setattr(compiled, "_read", lambda path: b"not a model")
        assert np.array_equal(vectors(backend), first)
    assert sources == ["compile_model", "import_model", "compile_model"]


@pytest.mark.parametrize("what", ["another CPU", "another model", "other options"])
def test_another_one_is_made(
    what: str, backend: Backend, sources: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    vectors(backend)
    if what == "another CPU":
        monkeypatch.setattr(compiled, "_cpu", lambda: ["another"])
    elif what == "another model":
        weights = Path(converted_folder(backend), "model.bin")
        Path(shutil.copy(weights, weights.with_suffix(".new"))).replace(weights)
    core = import_openvino().Core()
    more = {"NUM_STREAMS": 2} if what == "other options" else {}
    options = {"INFERENCE_NUM_THREADS": 1, **more}
    compile_graph(core, converted_folder(backend), options)
    assert sources == ["compile_model"] * 2 and len(kept(backend)) == 2


def test_only_the_last_ones_are_kept(
    backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Path] = []
    for number in range(12):
        monkeypatch.setattr(compiled, "_cpu", lambda number=number: [str(number)])
        vectors(backend)
        (new,) = {*kept(backend)} - {*made}
        os.utime(new, (number, number))
        made.append(new)
    assert kept(backend) == sorted(made[-8:])


def test_a_folder_that_cannot_be_written(
    backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*arguments: object, **named: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("tempfile.mkstemp", full)
        first = vectors(backend)
    assert kept(backend) == []
    assert np.array_equal(vectors(backend), first)
