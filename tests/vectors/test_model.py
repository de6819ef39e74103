"""Model resolution. No test here loads a model: the weights are bytes like others."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from indexer.config import DEFAULT_MODEL
from indexer.errors import ModelError
from indexer.vectors.backend import ModelInfo
from indexer.vectors.model import resolve_model
from indexer.vectors.model_names import near_name
from indexer.vectors.tokenizer import load_tokenizer

OLD = "sentence_transformers.models"
NEW = "sentence_transformers.base.modules"


def write(folder: Path, name: str, content: Any) -> None:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    text = content if isinstance(content, str) else json.dumps(content)
    (folder / name).write_text(text)


def modules(*types: tuple[str, str]) -> list[dict[str, Any]]:
    return [
        {"idx": i, "name": str(i), "path": path, "type": type}
        for i, (type, path) in enumerate(types)
    ]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder that looks like a model as sentence-transformers 2 saved it."""
    folder = tmp_path / "model"
    pipeline = modules((f"{OLD}.Transformer", ""), (f"{OLD}.Pooling", "1_Pooling"))
    write(folder, "modules.json", pipeline)
    write(folder, "config.json", {"hidden_size": 8, "max_position_embeddings": 64})
    pooling = {"word_embedding_dimension": 8, "pooling_mode_mean_tokens": True}
    write(folder, "1_Pooling/config.json", pooling | {"pooling_mode_cls_token": False})
    write(folder, "sentence_bert_config.json", {"max_seq_length": 32})
    write(folder, "model.safetensors", "weights")
    return folder


@pytest.fixture
def cache(tmp_path: Path) -> str:
    return str(tmp_path / "cache")


def resolve(folder: Path, cache: str) -> ModelInfo:
    return resolve_model(str(folder), cache)


@pytest.mark.parametrize(
    "name", [DEFAULT_MODEL, f"sentence-transformers/{DEFAULT_MODEL}"]
)
def test_default_model_is_the_installed_package(name: str, cache: str) -> None:
    model = resolve_model(name, cache)
    assert model.name == name
    assert (model.dimension, model.max_tokens) == (384, 256)
    assert Path(model.folder, "model.safetensors").exists()
    assert model.digest == resolve_model(DEFAULT_MODEL, cache).digest


def test_damaged_default_weights_are_refused(
    folder: Path, cache: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("indexer.vectors.model._installed_default", lambda: str(folder))
    for _ in range(2):  # the second time from the memo
        with pytest.raises(ModelError, match="damaged"):
            resolve_model(DEFAULT_MODEL, cache)


def test_missing_default_package(cache: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("indexer.vectors.model._DEFAULT_PACKAGE", "no_such_package")
    with pytest.raises(ModelError, match="pip install"):
        resolve_model(DEFAULT_MODEL, cache)


def test_sizes_are_read_from_the_settings(folder: Path, cache: str) -> None:
    model = resolve(folder, cache)
    assert (model.dimension, model.max_tokens) == (8, 32)


def test_max_tokens_without_a_setting(folder: Path, cache: str) -> None:
    (folder / "sentence_bert_config.json").unlink()
    assert resolve(folder, cache).max_tokens == 64
    write(folder, "tokenizer_config.json", {"model_max_length": 48})
    assert resolve(folder, cache).max_tokens == 48
    write(folder, "tokenizer_config.json", {"model_max_length": 10**30})
    assert resolve(folder, cache).max_tokens == 64


def test_dense_and_several_poolings_change_the_dimension(
    folder: Path, cache: str
) -> None:
    pooling = {"embedding_dimension": 8, "pooling_mode": ["mean", "cls"]}
    write(folder, "1_Pooling/config.json", pooling)
    assert resolve(folder, cache).dimension == 16
    pipeline = json.loads((folder / "modules.json").read_text())
    pipeline += modules((f"{NEW}.dense.Dense", "2_Dense"))
    write(folder, "modules.json", pipeline)
    write(folder, "2_Dense/config.json", {"out_features": 5})
    write(folder, "2_Dense/model.safetensors", "more weights")
    assert resolve(folder, cache).dimension == 5
    write(folder, "config_sentence_transformers.json", {"truncate_dim": 3})
    assert resolve(folder, cache).dimension == 3


@pytest.mark.parametrize(
    "name", ["model.safetensors", "1_Pooling/config.json", "vocab.txt", "config.json"]
)
def test_digest_follows_every_deciding_file(
    folder: Path, cache: str, name: str
) -> None:
    before = resolve(folder, cache).digest
    path = folder / name
    old = path.read_text() if path.exists() else ""
    path.write_text(old + " ")
    assert resolve(folder, cache).digest != before


def test_digest_ignores_the_rest_and_the_place(folder: Path, cache: str) -> None:
    before = resolve(folder, cache).digest
    write(folder, "README.md", "about")
    write(folder, "onnx/config.json", {})
    assert resolve(folder, cache).digest == before
    moved = folder.rename(folder.with_name("moved"))
    assert resolve(moved, cache).digest == before


def test_same_size_edit_with_the_time_set_back_is_seen(
    folder: Path, cache: str
) -> None:
    weights = folder / "model.safetensors"
    before, times = resolve(folder, cache).digest, weights.stat()
    time.sleep(0.02)
    weights.write_text("WEIGHTS")
    os.utime(weights, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert resolve(folder, cache).digest != before


def test_unchanged_model_is_not_read_again(
    folder: Path, cache: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = resolve(folder, cache)
    monkeypatch.setattr("indexer.vectors.model.hash_file", None)
    assert resolve(folder, cache) == model


@pytest.mark.parametrize(
    "content", ["", "{", "[]", "null", '{"stamp": 1}', '{"stamp": [], "value": 3}']
)
def test_damaged_memo_is_replaced(folder: Path, cache: str, content: str) -> None:
    model = resolve(folder, cache)
    (memo,) = Path(cache, "models").iterdir()
    kept = memo.read_text()
    memo.write_text(content)
    assert resolve(folder, cache) == model
    assert memo.read_text() == kept


def test_memo_with_wrong_facts_is_replaced(folder: Path, cache: str) -> None:
    model = resolve(folder, cache)
    (memo,) = Path(cache, "models").iterdir()
    memo.write_text(json.dumps(json.loads(memo.read_text()) | {"value": {"hashes": 1}}))
    assert resolve(folder, cache) == model


def test_unusable_cache_folder_is_no_failure(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert resolve(folder, str(tmp_path / "file")).dimension == 8


def test_bare_name_never_means_a_folder(
    folder: Path, cache: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    trap = folder.rename(folder.with_name(DEFAULT_MODEL))
    (trap.parent / "org").mkdir()
    (trap.parent / "org" / "model").symlink_to(trap)
    monkeypatch.chdir(trap.parent)
    monkeypatch.setattr("indexer.vectors.model._hub_folder", lambda name: f"hub:{name}")
    assert resolve_model(DEFAULT_MODEL, cache).dimension == 384
    with pytest.raises(ModelError, match="hub:org/model"):
        resolve_model("org/model", cache)
    assert resolve_model(f"./{DEFAULT_MODEL}", cache).dimension == 8
    assert resolve_model(f"../{trap.parent.name}/{trap.name}", cache).dimension == 8
    monkeypatch.setenv("HOME", str(trap.parent))
    assert resolve_model(f"~/{DEFAULT_MODEL}", cache).folder == str(trap)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: (f / "model.safetensors").unlink(), "no weights"),
        (
            lambda f: (f / "model.safetensors").rename(f / "pytorch_model.bin"),
            "pickled weights",
        ),
        (lambda f: write(f, "1_Pooling/weights.bin", ""), "pickled weights"),
        (
            lambda f: [(f / x).unlink() for x in ("modules.json", "config.json")],
            "neither",
        ),
        (lambda f: write(f, "modules.json", "{"), "cannot be read"),
        (lambda f: write(f, "modules.json", [1]), "cannot understand"),
        (lambda f: write(f, "modules.json", modules(("os.Evil", ""))), "its own code"),
        (
            lambda f: write(f, "modules.json", modules((f"{OLD}.Dense", "../x"))),
            "outside",
        ),
        (lambda f: (f / "vocab.txt").symlink_to("nowhere"), "vocab.txt"),
        (lambda f: f.rename(f.with_name("gone")), "there is no model folder"),
    ],
)
def test_unsafe_or_broken_folders_are_refused_in_one_line(
    folder: Path, cache: str, change: Any, message: str
) -> None:
    change(folder)
    with pytest.raises(ModelError, match=message) as caught:
        resolve(folder, cache)
    assert "\n" not in str(caught.value)


def hub_snapshot(home: Path, repo: str, folder: Path) -> Path:
    """Put `folder` where the hub cache keeps the main revision of `repo`."""
    kept = home / "hub" / f"models--{repo.replace('/', '--')}"
    (kept / "refs").mkdir(parents=True)
    (kept / "refs" / "main").write_text("0" * 40)
    (kept / "snapshots").mkdir()
    return folder.rename(kept / "snapshots" / ("0" * 40))


RESOLVE = """
import sys
from indexer.errors import ModelError
from indexer.vectors.model import resolve_model
try:
    print(resolve_model(sys.argv[1], sys.argv[2]).folder)
except ModelError as error:
    print("refused:", error)
print([name for name in ("torch", "openvino", "transformers") if name in sys.modules])
"""


def run_resolve(name: str, cache: str, **environment: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", RESOLVE, name, cache],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    answer, imported = done.stdout.splitlines()
    assert imported == "[]"
    return [answer]


def test_hub_cache_is_used_without_the_network(
    folder: Path, cache: str, tmp_path: Path
) -> None:
    snapshot = hub_snapshot(tmp_path / "hf", "sentence-transformers/small", folder)
    hub = {"HF_HOME": str(tmp_path / "hf"), "HF_HUB_OFFLINE": "1"}
    assert run_resolve("small", cache, **hub) == [str(snapshot)]
    assert run_resolve("sentence-transformers/small", cache, **hub) == [str(snapshot)]
    (answer,) = run_resolve("other/small", cache, **hub)
    assert answer.startswith("refused: the model other/small is not on this machine")
    (answer,) = run_resolve("all-minilm-l6-v3", cache, **hub)
    assert answer.endswith("did you mean all-MiniLM-L6-v2?")
    (snapshot / "model.safetensors").unlink()
    (answer,) = run_resolve("small", cache, **hub)
    assert answer.startswith("refused:") and answer.endswith("safetensors is missing")


def test_unreachable_hub_is_one_line(cache: str, tmp_path: Path) -> None:
    hub = {"HF_HOME": str(tmp_path), "HF_ENDPOINT": "http://127.0.0.1:9"}
    (answer,) = run_resolve("org/model", cache, HF_HUB_OFFLINE="0", **hub)
    assert "cannot be downloaded" in answer


@pytest.mark.parametrize("name", ["", "a b", "a/b/c", "..x", "https://x.y/z"])
def test_names_that_cannot_be(
    name: str, cache: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(ModelError):
        resolve_model(name, cache)


def test_an_unchanged_model_is_not_read_again(
    cache: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = resolve_model(DEFAULT_MODEL, cache)
    monkeypatch.setattr(hashlib, "file_digest", pytest.fail)
    assert resolve_model(DEFAULT_MODEL, cache) == found


def test_tokenizer_spans_are_the_characters_of_the_text(cache: str) -> None:
    tokenizer = load_tokenizer(resolve_model(DEFAULT_MODEL, cache))
    text = "def Größe(naïve):\n\treturn '日本'  # ok"
    spans = tokenizer.spans(text)
    pieces = [text[start:end] for start, end in spans]
    assert "".join(pieces) == "".join(text.split())
    assert tokenizer.count([text]) == [len(spans) + 2]
    assert tokenizer.count(["", "word " * 1000]) == [2, 1002]
    assert tokenizer.spans("") == []


@pytest.mark.parametrize("content", ["{", "{}", '{"model": {"type": "Nonsense"}}'])
def test_broken_tokenizer(folder: Path, cache: str, content: str) -> None:
    write(folder, "tokenizer.json", content)
    with pytest.raises(ModelError, match="tokenizer"):
        load_tokenizer(resolve(folder, cache))


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("all-MiniLM-L6-v3", "all-MiniLM-L6-v2"),
        ("all-minilm-l12-v3", "all-MiniLM-L12-v2"),
        ("all-mpnet-basev2", "all-mpnet-base-v2"),
        (
            "sentence-transformers/all-miniLM-L6-v2",
            "sentence-transformers/all-MiniLM-L6-v2",
        ),
        (
            "sentence-transformer/all-mpnet-base-v2",
            "sentence-transformers/all-mpnet-base-v2",
        ),
        ("ours/code-modle", "ours/code-model"),
        ("something-else", ""),
    ],
)
def test_the_model_that_may_have_been_meant(
    name: str, near: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "models--ours--code-model").mkdir()
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    assert near_name(name) == near


def test_the_folder_that_may_have_been_meant(cache: str, tmp_path: Path) -> None:
    (tmp_path / "code-model").mkdir()
    (tmp_path / "code-modem").write_text("")  # no folder
    with pytest.raises(ModelError, match=f"did you mean {tmp_path}/code-model\\?"):
        resolve_model(f"{tmp_path}/code-modell", cache)
    for name in ("another", "nowhere/code-model"):
        with pytest.raises(ModelError, match="there is no model folder [^:]*$"):
            resolve_model(f"{tmp_path}/{name}", cache)
