"""The default model's graph, which is built from its weights without torch."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from conftest import only_slow
from fresh_python import python
from msgspec.structs import replace
from numpy.typing import NDArray

from indexer.config import DEFAULT_MODEL
from indexer.errors import ModelError
from indexer.vectors import agreement, conversion, library
from indexer.vectors.agreement import compared_texts, is_default, stored_vectors
from indexer.vectors.backend import OPENVINO, Backend, ModelInfo
from indexer.vectors.bert import build_graph
from indexer.vectors.choice import choose_backend
from indexer.vectors.embedders import OpenVinoEmbedder, load_embedder
from indexer.vectors.graph_folder import converted_folder, read_about
from indexer.vectors.library import load_sentence_transformer, quiet
from indexer.vectors.model import resolve_model
from indexer.vectors.tokenizer import load_tokenizer

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

Vectors = NDArray[np.float32]
NOT_IN_SLIM = ("torch", "transformers", "sentence_transformers", "huggingface_hub")
TEXTS = [
    "",
    "a",
    "日本 🙂",
    "def f(x):\n    return x\n" * 9,
    "word " * 254,
    "x = 1\n" * 500,
]


@pytest.fixture(autouse=True)
def on_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CODX_INDEX_BACKEND", raising=False)
    monkeypatch.setenv("CODX_INDEX_DEVICE", "cpu")


@pytest.fixture
def other(tiny_model: str, tmp_path: Path) -> ModelInfo:
    """Another model, whose size torch was asked for."""
    return resolve_model(tiny_model, str(tmp_path))


@pytest.fixture
def without_torch(other: ModelInfo, monkeypatch: pytest.MonkeyPatch) -> None:
    """As where only what the default model needs is installed."""
    for name in NOT_IN_SLIM:
        monkeypatch.setitem(sys.modules, name, None)


@pytest.fixture
def model(tmp_path: Path) -> ModelInfo:
    return resolve_model(DEFAULT_MODEL, str(tmp_path))


@pytest.fixture(scope="module")
def original(model_cache: Path) -> SentenceTransformer:
    folder = resolve_model(DEFAULT_MODEL, str(model_cache)).folder
    return load_sentence_transformer(folder, "cpu", "f32")


def encode(original: SentenceTransformer, texts: Sequence[str]) -> Vectors:
    with quiet():
        found = original.encode(list(texts), normalize_embeddings=True)
    return np.asarray(found)


def built(backend: Backend, folder: Path) -> OpenVinoEmbedder:
    about = conversion._build(backend, str(folder))
    assert about["pad_id"] == 0, about
    return OpenVinoEmbedder(backend, str(folder), 0, threads=1)


def linked(model: ModelInfo, folder: Path) -> Path:
    """A copy of the model's folder, whose files can be replaced."""
    folder.mkdir()
    for file in Path(model.folder).iterdir():
        (folder / file.name).symlink_to(file)
    return folder


def test_the_default_model_is_known_by_all_its_files(
    model: ModelInfo, tmp_path: Path
) -> None:
    assert is_default(model)
    folder = linked(model, tmp_path / "copy")
    assert is_default(resolve_model(str(folder), str(tmp_path)))
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").unlink()
    (folder / "config.json").write_text(json.dumps({**config, "layer_norm_eps": 1e-5}))
    assert not is_default(resolve_model(str(folder), str(tmp_path)))


@pytest.mark.slow
def test_the_stored_vectors_are_the_original_s(original: SentenceTransformer) -> None:
    """To make them anew: `numpy.save` this `expected`, as float16."""
    expected = agreement.original_vectors(original)
    stored = stored_vectors()
    assert stored.shape == expected.shape == (len(compared_texts()), 384)
    assert np.array_equal(stored, expected.astype(np.float16)) or np.allclose(
        stored, expected, atol=2e-4
    )


def test_the_vectors_are_the_original_s(
    model: ModelInfo, original: SentenceTransformer, tmp_path: Path
) -> None:
    """Of texts of no token, one, and more than the model takes."""
    backend = Backend(model, OPENVINO, "cpu", "f32", str(tmp_path))
    embedder = built(backend, tmp_path)
    found = embedder.encode(TEXTS)
    cosines = (found.vectors * encode(original, TEXTS)).sum(axis=1)
    assert cosines.min() >= 0.99999
    assert found.truncated == 1
    assert found.tokens == sum(min(n, 256) for n in load_tokenizer(model).count(TEXTS))
    alone = [embedder.encode([text]).vectors[0] for text in TEXTS]
    assert np.array_equal(found.vectors, alone)
    assert np.array_equal(embedder.encode(TEXTS[::-1]).vectors, alone[::-1])


@pytest.mark.parametrize("precision", only_slow("f32", "bf16", "int8"))
def test_they_are_those_of_the_converted_graph_bit_for_bit(
    precision: str, model: ModelInfo, tmp_path: Path
) -> None:
    """So an index, and the cache, may hold vectors of both."""
    folder = linked(model, tmp_path / "copy")
    (folder / "note.txt").write_text("another file, so it is another model")
    texts = [*TEXTS, *compared_texts()]
    traced = resolve_model(str(folder), str(tmp_path))
    assert not is_default(traced)
    ours, theirs = (
        load_embedder(choose_backend(one, str(tmp_path), precision, convert=True))
        for one in (model, traced)
    )
    assert np.array_equal(ours.encode(texts).vectors, theirs.encode(texts).vectors)


def test_sizes_are_those_of_the_configuration(tiny_model: str, tmp_path: Path) -> None:
    """Another number of layers, heads and positions, and another width."""
    openvino = library.import_openvino()
    openvino.save_model(
        build_graph(tiny_model), tmp_path / "model.xml", compress_to_fp16=False
    )
    info = resolve_model(tiny_model, str(tmp_path / "cache"))
    backend = Backend(info, OPENVINO, "cpu", "f32", str(tmp_path))
    found = OpenVinoEmbedder(backend, str(tmp_path), 0, threads=1).encode(TEXTS)
    expected = encode(load_sentence_transformer(tiny_model, "cpu", "f32"), TEXTS)
    assert found.vectors.shape == (len(TEXTS), 32)
    assert (found.vectors * expected).sum(axis=1).min() >= 0.99999


BUILD = f"""
import json
for name in {NOT_IN_SLIM}:
    sys.modules[name] = None
from indexer.vectors.backend import OPENVINO, Backend
from indexer.vectors.conversion import _build
from indexer.vectors.model import resolve_model
model = resolve_model({DEFAULT_MODEL!r}, sys.argv[1])
backend = Backend(model, OPENVINO, "cpu", "f32", sys.argv[1])
about = _build(backend, sys.argv[1])
unused = {{"openvino.tools.ovc", "pandas", "scipy", "sklearn", "nncf"}}
print(json.dumps([about["cosine"], sorted(unused & set(sys.modules))]))
"""


def test_it_is_built_without_torch(tmp_path: Path) -> None:
    claim = "from indexer.environment import claim_process\nclaim_process()\n"
    cosine, imported = json.loads(python(claim + BUILD, tmp_path))
    assert cosine >= 0.99999
    assert imported == []


def wrong(*arguments: Any) -> Vectors:
    return np.roll(stored_vectors(), 1, axis=1)


@pytest.mark.usefixtures("in_this_process")
def test_a_machine_that_computes_it_wrongly(
    model: ModelInfo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(conversion, "stored_vectors", wrong)
    steps: list[str] = []
    backend = choose_backend(
        model, str(tmp_path), "f32", convert=True, on_step=steps.append
    )
    assert backend.kind == "sentence-transformers"
    assert "its vectors are not the original's" in steps[1]
    openvino = replace(backend, kind=OPENVINO)
    assert "unsupported" in (read_about(converted_folder(openvino)) or {})


@pytest.mark.usefixtures("in_this_process", "without_torch")
def test_the_same_without_torch(
    model: ModelInfo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(conversion, "stored_vectors", wrong)
    for _ in range(2):  # the second time from what was found out
        with pytest.raises(
            ModelError,
            match="OpenVINO .its vectors are not the original's .*, but torch and .*: pip install",
        ):
            choose_backend(model, str(tmp_path), convert=True)


@pytest.mark.usefixtures("without_torch")
def test_what_needs_torch_says_so(
    model: ModelInfo,
    other: ModelInfo,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    missing = "torch and sentence-transformers are not installed: pip install"
    cache = str(tmp_path)
    with pytest.raises(ModelError, match=f"^{other.name} has to .*, but {missing}"):
        choose_backend(other, cache, convert=True)
    # Nothing is computed, so nothing is missing.
    assert choose_backend(other, cache, convert=False).kind == OPENVINO
    with pytest.raises(ModelError, match=f"cannot be loaded: {missing}"):
        load_sentence_transformer(other.folder, "cpu", "f32")
    monkeypatch.setenv("CODX_INDEX_BACKEND", "sentence-transformers")
    with pytest.raises(ModelError, match=f"^CODX_INDEX_BACKEND=.*, but {missing}"):
        choose_backend(model, cache, convert=True)
    monkeypatch.delenv("CODX_INDEX_BACKEND")
    monkeypatch.setenv("CODX_INDEX_DEVICE", "cuda")
    with pytest.raises(ModelError, match=f"^CODX_INDEX_DEVICE=cuda, but {missing}"):
        choose_backend(model, cache, convert=False)


@pytest.mark.usefixtures("without_torch")
def test_a_gpu_is_left_alone_without_torch(
    model: ModelInfo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CODX_INDEX_DEVICE", "auto")
    monkeypatch.setattr(
        "indexer.vectors.gpus.glob.glob", lambda *arguments, **named: ["/dev/nvidia0"]
    )
    assert choose_backend(model, str(tmp_path), convert=False).device == "cpu"


@pytest.mark.usefixtures("without_torch")
@pytest.mark.parametrize(
    ("name", "remedy"),
    [
        ("all-MiniLM-L6-v3", "did you mean all-MiniLM-L6-v2"),
        ("org/model", "check the name"),
    ],
)
def test_another_name_without_the_hub_s_library(
    name: str, remedy: str, tmp_path: Path
) -> None:
    with pytest.raises(ModelError, match=f"pip install huggingface-hub .*: {remedy}"):
        resolve_model(name, str(tmp_path))


@pytest.mark.usefixtures("without_torch")
def test_a_tokenizer_that_transformers_would_convert(
    other: ModelInfo, tmp_path: Path
) -> None:
    with pytest.raises(ModelError, match="has to be converted, but torch and"):
        load_tokenizer(replace(other, folder=str(folder_without_tokenizer(tmp_path))))


def folder_without_tokenizer(tmp_path: Path) -> Path:
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "config.json").write_text("{}")
    return tmp_path / "old"
