"""Backends and embedders, with the real model. torch takes seconds to import, and so does
a conversion: what needs them is made once, by the fixtures of the session."""

from __future__ import annotations

import ast
import itertools
import json
import os
import pickle
import random
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from conftest import Project, only_slow, shared_folder, start, wait_for
from fresh_python import python
from msgspec.structs import replace
from numpy.typing import NDArray

from indexer.config import DEFAULT_MODEL
from indexer.errors import ModelError, StateError, UsageError
from indexer.types import ID_BYTES
from indexer.vectors import backend as backends
from indexer.vectors import batches, choice, conversion, gpus, graph, graph_folder
from indexer.vectors.backend import Backend, ModelInfo
from indexer.vectors.choice import choose_backend
from indexer.vectors.conversion import convert_once
from indexer.vectors.embedders import Embedder, load_embedder
from indexer.vectors.graph_folder import converted_folder
from indexer.vectors.library import load_sentence_transformer, quiet
from indexer.vectors.model import resolve_model
from indexer.vectors.quantization import calibration_texts
from indexer.vectors.tokenizer import load_tokenizer

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

Vectors = NDArray[np.float32]


def code_texts(limit: int) -> list[str]:
    """Definitions of the standard library: real code of 10 to 250 tokens."""
    texts = []
    for module in (ast, random, shutil, subprocess, threading):
        source = Path(str(module.__file__)).read_text()
        for node in ast.parse(source).body:
            segment = ast.get_source_segment(source, node) or ""
            if 30 < len(segment) < 700:
                texts.append(segment)
    return texts[:: max(1, len(texts) // limit)][:limit]


def cosines(a: Vectors, b: Vectors) -> Vectors:
    product: Vectors = (a * b).sum(axis=1)
    return product


@pytest.fixture(autouse=True)
def no_overrides(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CODX_INDEX_BACKEND", raising=False)
    monkeypatch.setenv("CODX_INDEX_DEVICE", "cpu")  # also where there is a GPU


@pytest.fixture(scope="session")
def cache(model_cache: Path) -> str:
    return str(model_cache)


@pytest.fixture(scope="session")
def model(cache: str) -> ModelInfo:
    return resolve_model(DEFAULT_MODEL, cache)


def convert(model: ModelInfo, cache: str, precision: str) -> Backend:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CODX_INDEX_DEVICE", "cpu")
        return choose_backend(model, cache, precision, convert=True)


@pytest.fixture(scope="session")
def f32(model: ModelInfo, cache: str) -> Backend:
    return convert(model, cache, "f32")


@pytest.fixture(scope="session")
def bf16(model: ModelInfo, cache: str) -> Backend:
    return convert(model, cache, "bf16")


@pytest.fixture(scope="session")
def int8(model: ModelInfo, cache: str) -> Backend:
    return convert(model, cache, "int8")


@pytest.fixture(scope="session")
def embedder(bf16: Backend) -> Embedder:
    return load_embedder(bf16)


@pytest.fixture(scope="session")
def original(model: ModelInfo) -> SentenceTransformer:
    return load_sentence_transformer(model.folder, "cpu", "f32")


@pytest.fixture(scope="session")
def texts() -> list[str]:
    return code_texts(40)


@pytest.fixture(scope="session")
def expected(original: SentenceTransformer, texts: list[str]) -> Vectors:
    with quiet():
        return np.asarray(original.encode(texts, normalize_embeddings=True))


@pytest.fixture(scope="session")
def tiny_folder(tiny_model: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The tiny model with a Dense layer on top, as today's sentence-transformers saves it.

    Shared by the workers of a parallel test run, of which the first makes it.
    """
    with shared_folder(tmp_path_factory, "tiny-with-dense") as folder:
        if not any(folder.iterdir()):
            save_with_dense(tiny_model, str(folder))
    return str(folder)


def save_with_dense(tiny_model: str, folder: str) -> None:
    with quiet():
        from sentence_transformers import SentenceTransformer
        from sentence_transformers.base.modules import Dense

        plain = load_sentence_transformer(tiny_model, "cpu", "f32")
        parts = [plain[0], plain[1], Dense(32, 24)]
        SentenceTransformer(modules=parts, device="cpu").save(folder)


@pytest.fixture(scope="session")
def tiny(tiny_folder: str, cache: str) -> Backend:
    return convert(resolve_model(tiny_folder, cache), cache, "f32")


# Choosing


def test_choice_is_the_same_before_and_after_the_conversion(
    model: ModelInfo, bf16: Backend, cache: str, tmp_path: Path
) -> None:
    before = choose_backend(model, str(tmp_path), convert=False)
    after = choose_backend(model, cache, convert=False)
    assert replace(before, cache_dir=cache) == after
    assert not (tmp_path / "models").exists()
    assert pickle.loads(pickle.dumps(after)) == after


@pytest.mark.parametrize("flags", ["fpu avx512_bf16", "amx_bf16 sse", "fpu sse", None])
def test_bf16_only_where_the_processor_has_it(
    flags: str | None, model: ModelInfo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fake_open(name: str, *args: Any, **kwargs: Any) -> Any:
        if name != "/proc/cpuinfo":
            return open(name, *args, **kwargs)
        if flags is None:
            raise FileNotFoundError
        (tmp_path / "cpuinfo").write_text(f"model name : x\nflags : {flags}\n")
        return open(tmp_path / "cpuinfo")

    monkeypatch.setattr(backends, "open", fake_open, raising=False)
    backend = choose_backend(model, str(tmp_path), convert=False)
    assert backend.precision == ("bf16" if "bf16" in (flags or "") else "f32")


def test_overrides(
    model: ModelInfo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CODX_INDEX_BACKEND", "sentence-transformers")
    backend = choose_backend(model, str(tmp_path), convert=True)
    assert (backend.kind, backend.precision) == ("sentence-transformers", "f32")
    monkeypatch.setenv("CODX_INDEX_BACKEND", "openvino")
    for precision in ("f32", "bf16", "int8"):
        backend = choose_backend(model, str(tmp_path), precision, convert=False)
        assert (backend.kind, backend.precision) == ("openvino", precision)


@pytest.mark.parametrize("name", ["DEVICE", "BACKEND"])
def test_unknown_overrides_are_usage_errors(
    name: str, model: ModelInfo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(f"CODX_INDEX_{name}", "fast")
    with pytest.raises(UsageError, match=f"CODX_INDEX_{name} is 'fast'"):
        choose_backend(model, str(tmp_path), convert=False)


@pytest.mark.parametrize(
    ("name", "value"), [("DEVICE", "cuda"), ("BACKEND", "sentence-transformers")]
)
def test_int8_runs_on_openvino_alone(
    name: str,
    value: str,
    model: ModelInfo,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(f"CODX_INDEX_{name}", value)
    with pytest.raises(UsageError, match="--precision int8 runs on the CPU"):
        choose_backend(model, str(tmp_path), "int8", convert=False)


def test_int8_without_its_extra(
    model: ModelInfo, cache: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "nncf", None)
    with pytest.raises(ModelError, match=r"pip install 'codx-index\[int8\]'"):
        choose_backend(model, str(tmp_path), "int8", convert=True)


@pytest.mark.slow
@pytest.mark.usefixtures("int8")
def test_a_model_converted_elsewhere_needs_no_extra(
    model: ModelInfo, cache: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "nncf", None)
    backend = choose_backend(model, cache, "int8", convert=True)
    assert (backend.kind, backend.precision) == ("openvino", "int8")


@pytest.mark.slow  # others that cannot be made are above
def test_int8_is_never_replaced(
    tiny_folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(choice, "unsupported", lambda backend: "no such thing")
    model = resolve_model(tiny_folder, str(tmp_path))
    with pytest.raises(ModelError, match="cannot run on OpenVINO: no such thing"):
        choose_backend(model, str(tmp_path), "int8", convert=False)


def test_calibration_texts() -> None:
    texts = calibration_texts()
    assert len(texts) == len(set(texts)) > 100
    assert all(text.strip() for text in texts)


def test_a_gpu_is_asked_for_once(
    model: ModelInfo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    asked = itertools.count(1)
    monkeypatch.setenv("CODX_INDEX_DEVICE", "auto")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: bool(next(asked)))
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 3)
    capabilities = {0: (9, 0), 1: (8, 6), 2: (8, 0)}
    monkeypatch.setattr(torch.cuda, "get_device_capability", capabilities.__getitem__)
    monkeypatch.setattr("glob.glob", lambda *a, **k: ["/dev/nvidia0"])
    for _ in range(2):
        backend = choose_backend(model, str(tmp_path), convert=False)
        assert (backend.kind, backend.device) == ("sentence-transformers", "cuda")
        assert (backend.gpus, backend.precision) == (3, "bf16")
    assert next(asked) == 2
    capabilities[1] = (7, 5)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1,2")  # looks again
    assert choose_backend(model, str(tmp_path), convert=False).precision == "f32"
    monkeypatch.setenv("CODX_INDEX_DEVICE", "cpu")
    assert choose_backend(model, str(tmp_path), convert=False).device == "cpu"


def test_another_driver_may_see_a_gpu(
    model: ModelInfo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    is_seen = False
    monkeypatch.setenv("CODX_INDEX_DEVICE", "auto")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: is_seen)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda gpu: (9, 0))
    monkeypatch.setattr("glob.glob", lambda *a, **k: ["/dev/nvidia0"])

    def device() -> str:
        return choose_backend(model, str(tmp_path), convert=False).device

    monkeypatch.setattr(gpus, "_driver", lambda: "535.0")
    assert device() == "cpu"
    is_seen = True
    assert device() == "cpu"  # torch is not asked again
    monkeypatch.setattr(gpus, "_driver", lambda: "580.0")
    assert device() == "cuda"


def test_a_gpu_that_is_not_there(
    model: ModelInfo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setenv("CODX_INDEX_DEVICE", "cuda")
    with pytest.raises(ModelError, match="no such device"):
        choose_backend(model, str(tmp_path), convert=False)
    monkeypatch.setenv("CODX_INDEX_BACKEND", "openvino")
    with pytest.raises(UsageError):
        choose_backend(model, str(tmp_path), convert=False)


def test_without_openvino(
    model: ModelInfo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (conversion, graph_folder):
        monkeypatch.setattr(module, "openvino_version", lambda: "")
    backend = choose_backend(model, str(tmp_path), convert=True)
    assert backend.kind == "sentence-transformers"
    monkeypatch.setenv("CODX_INDEX_BACKEND", "openvino")
    with pytest.raises(ModelError, match="not installed"):
        choose_backend(model, str(tmp_path), convert=True)


# Converting


@pytest.mark.slow
def test_conversion_is_quiet_announced_and_done_once(
    tiny_folder: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    steps: list[str] = []
    for _ in range(2):
        model = resolve_model(tiny_folder, str(tmp_path))
        choose_backend(model, str(tmp_path), convert=True, on_step=steps.append)
    assert len(steps) == 2 and steps[0].startswith(f"converting {tiny_folder}")
    assert re.fullmatch(r"converted in \d+\.\d s", steps[1])
    assert capfd.readouterr() == ("", "")
    assert not list((tmp_path / "models").glob(".tmp-*"))


def test_openvino_comes_without_its_converter(tmp_path: Path) -> None:
    """Unless somebody else's code runs in the process, which may want it."""
    code = """
from indexer.environment import claim_process
from indexer.vectors import library
if sys.argv[2:] == ["ours"]:
    claim_process()
openvino = library.import_openvino()
print("openvino.tools.ovc" in sys.modules, hasattr(openvino, "convert_model"))
print(library.import_converter().__name__)
"""
    assert python(code, tmp_path, "ours") == "False False\nconvert_model\n"
    assert python(code, tmp_path) == "True True\nconvert_model\n"


@pytest.mark.parametrize("act", ["load", *only_slow("convert", "int8")])
def test_nothing_is_reported_to_anybody(
    act: str, cache: str, tiny_model: str, tmp_path: Path
) -> None:
    """OpenVINO and nncf tell Google Analytics of their use, outside of CI."""
    code = """
import sys
from indexer.vectors import conversion, library, model
act, folder, cache, precision = sys.argv[1:]
if act == "load":
    library.import_openvino()
else:
    found = model.resolve_model(folder, cache)
    from indexer.vectors.backend import OPENVINO, Backend
    backend = Backend(found, OPENVINO, "cpu", precision, cache)
    assert "cosine" in conversion._build(backend, cache)
assert "openvino" in sys.modules and "openvino_telemetry" not in sys.modules
import openvino_telemetry  # for whoever wants it
"""
    home = tmp_path / "home"
    home.mkdir()
    environment = {
        name: value
        for name, value in os.environ.items()
        if name not in ("CI", "TF_BUILD", "JENKINS_URL")
    }
    precision = "int8" if act == "int8" else "f32"
    copied = shutil.copytree(cache, tmp_path / "cache")
    done = subprocess.run(
        [sys.executable, "-c", code, act, tiny_model, str(copied), precision],
        env={**environment, "HOME": str(home)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert not (home / "intel").exists()


@pytest.mark.usefixtures("in_this_process")
@pytest.mark.parametrize("fault", ["conversion failed", "not the original's"])
def test_a_model_that_does_not_fit_is_remembered(
    fault: str, tiny_folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(original: Any) -> Any:
        raise RuntimeError("no such operation\nand a stack of C++")

    model = resolve_model(tiny_folder, str(tmp_path))
    steps: list[str] = []
    with monkeypatch.context() as patch:
        if fault == "not the original's":
            patch.setattr(conversion, "least_cosine", lambda *a: float("nan"))
        else:
            patch.setattr(graph, "_trace", fail)
        for _ in range(2):
            backend = choose_backend(
                model, str(tmp_path), "f32", convert=True, on_step=steps.append
            )
            assert backend.kind == "sentence-transformers"
    assert len(steps) == 2 and fault in steps[1]
    assert "\n" not in steps[1]
    (folder,) = (path for path in (tmp_path / "models").iterdir() if path.is_dir())
    assert [path.name for path in folder.iterdir()] == ["about.json"]
    monkeypatch.setenv("CODX_INDEX_BACKEND", "openvino")
    with pytest.raises(ModelError, match="cannot run on OpenVINO"):
        choose_backend(model, str(tmp_path), "f32", convert=False)


@pytest.mark.usefixtures("in_this_process")
def test_f32_where_only_bf16_differs(
    tiny_folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cosine = iter([0.5, 1.0])
    monkeypatch.setattr(conversion, "least_cosine", lambda *a: next(cosine))
    monkeypatch.setattr(choice, "cpu_has_bf16", lambda: True)
    model = resolve_model(tiny_folder, str(tmp_path))
    for convert in (True, False):
        backend = choose_backend(model, str(tmp_path), convert=convert)
        assert (backend.kind, backend.precision) == ("openvino", "f32")


@pytest.mark.usefixtures("in_this_process")
def test_a_cache_that_cannot_be_written(tiny_folder: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    steps: list[str] = []
    model = resolve_model(tiny_folder, str(tmp_path / "file"))
    backend = choose_backend(
        model, str(tmp_path / "file"), convert=True, on_step=steps.append
    )
    assert "cannot be written" in steps[1]
    assert load_embedder(backend).encode(["text"]).vectors.shape == (1, 24)


@pytest.mark.slow  # a conversion that fails is seen above
@pytest.mark.usefixtures("in_this_process")
def test_full_disk_is_no_verdict_on_the_model(
    tiny_folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import openvino

    def full(*args: Any, **options: Any) -> None:
        raise RuntimeError("Could not write 90 MB\nat file.cpp:1")

    model = resolve_model(tiny_folder, str(tmp_path))
    with monkeypatch.context() as patch:
        patch.setattr(openvino, "save_model", full)
        with pytest.raises(StateError, match="cannot be written"):
            choose_backend(model, str(tmp_path), convert=True)
    assert not [path for path in (tmp_path / "models").iterdir() if path.is_dir()]
    assert choose_backend(model, str(tmp_path), convert=True).kind == "openvino"


def test_the_loser_of_a_race_keeps_what_the_winner_made(tmp_path: Path) -> None:
    for name in ("first", "second", "damaged"):
        (tmp_path / name).mkdir()
        graph_folder.write_about(str(tmp_path / name), {"pad_id": name})
    target = str(tmp_path / "target")
    graph_folder.publish(str(tmp_path / "first"), target)
    graph_folder.publish(str(tmp_path / "second"), target)
    assert graph_folder.read_about(target) == {"pad_id": "first"}
    (tmp_path / "target" / "about.json").write_text("{")
    graph_folder.publish(str(tmp_path / "second"), target)
    assert graph_folder.read_about(target) == {"pad_id": "second"}


def test_a_conversion_that_another_process_makes_is_waited_for(
    tiny_folder: str, tmp_path: Path
) -> None:
    model = resolve_model(tiny_folder, str(tmp_path))
    backend = choose_backend(model, str(tmp_path), "f32", convert=False)
    steps: list[str] = []
    results: list[Backend] = []
    with graph_folder.turn(str(tmp_path / "models"), lambda: None):
        other = threading.Thread(
            target=lambda: results.append(convert_once(backend, steps.append))
        )
        other.start()
        wait_for(lambda: steps)
        assert steps[0].startswith("waiting for another run")
        (tmp_path / "building").mkdir()
        graph_folder.write_about(str(tmp_path / "building"), {"pad_id": 7})
        graph_folder.publish(str(tmp_path / "building"), converted_folder(backend))
    other.join()
    assert (results, len(steps)) == ([backend], 1)  # it was not converted again
    assert graph_folder.read_about(converted_folder(backend)) == {"pad_id": 7}


@pytest.mark.slow
@pytest.mark.parametrize("is_killed", [False, True])
def test_two_runs_that_need_one_conversion(
    is_killed: bool, make_project: Callable[[str], Project], tmp_path: Path
) -> None:
    """Both are done, with one conversion, also if the first of the two is killed amid it."""
    cache = tmp_path / "empty"
    projects = [make_project("one"), make_project("two")]
    runs = []
    for project in projects:
        project.cache_dir = cache
        project.write("a.py", "banana = 1\n")
        runs.append(start(project, "run", "--json"))
        wait_for(lambda: [*cache.glob("models/.tmp-*")])
    if is_killed:
        runs[0].kill()
    for run in runs:
        run.wait(240)
    errors = [(run.communicate()[1]) for run in runs]
    assert [run.returncode for run in runs] == [-9 if is_killed else 0, 0], errors
    made = [path for path in (cache / "models").iterdir() if path.is_dir()]
    (folder,) = [path for path in made if not path.name.startswith(".tmp-")]
    assert graph_folder.read_about(str(folder)) is not None
    assert len(made) == 1 + is_killed  # what a kill leaves is swept after an hour
    for project in projects:
        assert project.installed.run()["exit_code"] == 0
        assert project.installed.command("verify").returncode == 0


def test_what_a_killed_conversion_left_is_swept(tmp_path: Path) -> None:
    for name in (".tmp-old", ".tmp-new", "kept"):
        (tmp_path / name).mkdir()
    os.utime(tmp_path / ".tmp-old", (1, 1))
    os.utime(tmp_path / "kept", (1, 1))
    graph_folder.sweep(str(tmp_path))
    assert sorted(os.listdir(tmp_path)) == [".tmp-new", "kept"]


@pytest.mark.slow
def test_a_damaged_conversion_is_a_model_error(tiny: Backend, tmp_path: Path) -> None:
    backend = replace(tiny, cache_dir=str(tmp_path))
    with pytest.raises(ModelError, match="no converted model"):
        load_embedder(backend)
    folder = converted_folder(backend)
    shutil.copytree(converted_folder(tiny), folder)
    Path(folder, "model.xml").write_text("<net")
    with pytest.raises(ModelError, match="cannot be loaded"):
        load_embedder(backend)


def test_prompts_and_other_pipelines_stay_with_sentence_transformers(
    tiny_folder: str,
) -> None:
    with quiet():
        original = load_sentence_transformer(tiny_folder, "cpu", "f32")
        original.prompts = {"document": "passage: "}
        with pytest.raises(ModelError, match="prompts"):
            graph.write_graph(original, "nowhere", "f32")
        original.prompts = {}
        with pytest.raises(ModelError, match="its first module is Pooling"):
            original.pop(0)
            graph.write_graph(original, "nowhere", "f32")


# Embedding


@pytest.mark.parametrize(
    ("precision", "least", "loss"),
    # Neighbours may change places, but only where they are about as near.
    [
        pytest.param("f32", 0.99999, 0, marks=pytest.mark.slow),
        ("bf16", 0.9999, 0.002),
        pytest.param("int8", 0.99, 0.03, marks=pytest.mark.slow),
    ],
)
def test_fidelity(
    precision: str,
    least: float,
    loss: float,
    texts: list[str],
    expected: Vectors,
    request: pytest.FixtureRequest,
) -> None:
    vectors = load_embedder(request.getfixturevalue(precision)).encode(texts).vectors
    assert cosines(vectors, expected).min() >= least
    assert cosines(vectors, expected).mean() >= max(least, 0.995)
    assert nearest(vectors, expected)[1].max() <= loss


def nearest(vectors: Vectors, reference: Vectors) -> tuple[NDArray[np.intp], Vectors]:
    """The nearest neighbour of each row, and by how much the reference prefers its own."""
    itself = 2 * np.eye(len(vectors), dtype=np.float32)
    found = (vectors @ vectors.T - itself).argmax(axis=1)
    similar = reference @ reference.T - itself
    loss: Vectors = similar.max(axis=1) - similar[np.arange(len(found)), found]
    return found, loss


def test_encoding(embedder: Embedder, model: ModelInfo, texts: list[str]) -> None:
    encoding = embedder.encode(texts)
    assert encoding.vectors.shape == (len(texts), 384)
    assert encoding.vectors.dtype == np.float32
    assert np.allclose(np.linalg.norm(encoding.vectors, axis=1), 1, atol=1e-6)
    assert encoding.truncated == 0
    assert encoding.tokens == sum(load_tokenizer(model).count(texts))
    assert 0 <= encoding.padding < 8 * len(texts)
    assert np.array_equal(embedder.encode_query(texts[3]), encoding.vectors[3])


@pytest.mark.parametrize("backend", ["bf16", "tiny"])
def test_known_tokens_give_the_same_vectors(
    backend: str, texts: list[str], request: pytest.FixtureRequest
) -> None:
    used: Backend = request.getfixturevalue(backend)
    ids = load_tokenizer(used.model).ids(texts)
    counts = load_tokenizer(used.model).count(texts)
    assert [len(one) for one in ids] == [ID_BYTES * count for count in counts]
    plain, given = load_embedder(used).encode(texts), load_embedder(used).encode(
        texts, ids
    )
    assert np.array_equal(given.vectors, plain.vectors)
    assert replace(given, vectors=plain.vectors) == plain  # tiny: all of them truncated


def test_no_texts(embedder: Embedder) -> None:
    assert embedder.encode([]).vectors.shape == (0, 384)


def assert_pure(embedder: Embedder, texts: Sequence[str]) -> None:
    alone = np.vstack([embedder.encode([text]).vectors for text in texts])
    assert np.array_equal(embedder.encode(texts).vectors, alone)
    rng = random.Random(1)
    for _ in range(2):
        order = [rng.randrange(len(texts)) for _ in range(2 * len(texts))]
        mixed = embedder.encode([texts[row] for row in order]).vectors
        assert np.array_equal(mixed, alone[order])


@pytest.mark.parametrize(
    "backend",
    [
        *only_slow("f32", "int8"),
        "bf16",
        *only_slow("tiny"),
    ],
)
def test_a_vector_does_not_depend_on_its_neighbours(
    backend: str, request: pytest.FixtureRequest
) -> None:
    texts = ["", *code_texts(14), "x = 1\n" * 500]
    assert_pure(load_embedder(request.getfixturevalue(backend)), texts)


@pytest.mark.slow
def test_nor_with_sentence_transformers(tiny: Backend) -> None:
    backend = replace(tiny, kind="sentence-transformers")
    assert_pure(load_embedder(backend), ["", *code_texts(20), "x = 1\n" * 500])


def test_backends_agree_on_a_model_from_a_folder(tiny: Backend) -> None:
    assert (tiny.kind, tiny.model.dimension, tiny.model.max_tokens) == (
        "openvino",
        24,
        64,
    )
    texts = ["", *code_texts(20), "x = 1\n" * 500]
    converted = load_embedder(tiny).encode(texts)
    plain = load_embedder(replace(tiny, kind="sentence-transformers")).encode(texts)
    assert cosines(converted.vectors, plain.vectors).min() > 0.99999
    assert np.allclose(np.linalg.norm(converted.vectors, axis=1), 1, atol=1e-6)
    assert (converted.truncated, converted.tokens) == (plain.truncated, plain.tokens)
    assert converted.truncated > 1
    assert plain.padding == 0


@pytest.mark.slow
def test_a_transformers_folder_is_pooled_by_mean(tiny_model: str, cache: str) -> None:
    model = resolve_model(tiny_model, cache)
    assert (model.dimension, model.max_tokens) == (32, 64)
    backend = convert(model, cache, "f32")
    assert load_embedder(backend).encode(["text"]).vectors.shape == (1, 32)


def test_truncation_keeps_the_special_tokens(
    embedder: Embedder, model: ModelInfo, original: SentenceTransformer
) -> None:
    long = "word " * 300
    encoding = embedder.encode([long, "short"])
    assert (encoding.truncated, encoding.tokens) == (1, model.max_tokens + 3)
    with quiet():
        expected = original.encode([long], normalize_embeddings=True)
    assert cosines(encoding.vectors[:1], np.asarray(expected))[0] > 0.9998
    fits = embedder.encode(["word " * 254])
    assert (fits.truncated, fits.tokens) == (0, 256)
    assert np.array_equal(fits.vectors[0], encoding.vectors[0])


@pytest.mark.parametrize("name", ["tiny", *only_slow("original")])
def test_tokens_are_counted_as_sentence_transformers_does(
    name: str,
    request: pytest.FixtureRequest,
    model: ModelInfo,
    tiny_folder: str,
    cache: str,
) -> None:
    if name == "tiny":
        model = resolve_model(tiny_folder, cache)
    st = load_sentence_transformer(model.folder, "cpu", "f32")
    texts = ["", "HTTPServer naïve ÜBER\t日本\x00\u200b x", *code_texts(20)]
    st.max_seq_length = 10_000
    with quiet():
        theirs = st.preprocess(texts)["attention_mask"].sum(dim=1).tolist()
    assert load_tokenizer(model).count(texts) == theirs


def test_lower_casing_settings_are_followed(
    tiny_folder: str, tmp_path: Path, cache: str
) -> None:
    folder = Path(shutil.copytree(tiny_folder, tmp_path / "lower"))
    raw = json.loads((folder / "tokenizer.json").read_text())
    raw["normalizer"]["lowercase"] = False
    (folder / "tokenizer.json").write_text(json.dumps(raw))
    text = "HTTPServer"
    cased = load_tokenizer(resolve_model(str(folder), cache)).count([text])
    settings = json.loads((folder / "sentence_bert_config.json").read_text())
    settings["do_lower_case"] = True
    (folder / "sentence_bert_config.json").write_text(json.dumps(settings))
    lower = load_tokenizer(resolve_model(str(folder), cache)).count([text])
    assert lower == load_tokenizer(resolve_model(tiny_folder, cache)).count([text])
    assert lower != cased


def test_prompts_are_put_before_and_counted(
    tiny: Backend, tiny_folder: str, tmp_path: Path, cache: str
) -> None:
    folder = Path(shutil.copytree(tiny_folder, tmp_path / "prompted"))
    settings = {"prompts": {"document": "a b c", "query": "d"}}
    (folder / "config_sentence_transformers.json").write_text(json.dumps(settings))
    model = resolve_model(str(folder), cache)
    assert model.max_tokens == 61
    plain = replace(tiny, kind="sentence-transformers")
    prompted, bare = load_embedder(replace(plain, model=model)), load_embedder(plain)
    assert np.array_equal(
        prompted.encode(["text"]).vectors, bare.encode(["a b ctext"]).vectors
    )
    assert np.array_equal(prompted.encode_query("text"), bare.encode_query("dtext"))


def test_a_model_with_only_a_vocabulary(
    tiny_folder: str, model: ModelInfo, tmp_path: Path, cache: str
) -> None:
    folder = Path(shutil.copytree(tiny_folder, tmp_path / "slow"))
    (folder / "tokenizer.json").unlink()
    shutil.copy(Path(model.folder, "vocab.txt"), folder)
    texts = code_texts(5)
    slow = load_tokenizer(resolve_model(str(folder), cache))
    assert slow.count(texts) == load_tokenizer(model).count(texts)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), 0.0])
def test_unusable_vectors_are_refused(bad: float) -> None:
    vectors = np.ones((3, 4), np.float32)
    vectors[1] = bad
    with pytest.raises(ModelError, match="not a number"):
        batches.scale_to_unit(vectors)


def test_widths_follow_from_the_length_alone() -> None:
    found = list(batches.group_by_width([1, 8, 9, 3, 62, 64, 5, 7], 63, 3))
    assert found == [(8, [0, 1, 3]), (8, [6, 7]), (16, [2]), (63, [4, 5])]
    found = list(batches.group_by_width([1, 8, 65, 3, 62], 100, 9, step=64))
    assert found == [(64, [0, 1, 3, 4]), (100, [2])]


def test_a_batch_of_long_texts_has_fewer() -> None:
    found = list(batches.group_by_width([8, 64, 8, 64, 8, 64, 300], 512, 2, 128))
    assert found == [(8, [0, 2]), (8, [4]), (64, [1, 3]), (64, [5]), (304, [6])]


START = """
import pickle, sys
from indexer.vectors.embedders import load_embedder
from indexer.vectors.tokenizer import load_tokenizer
assert not {"numpy", "openvino", "tokenizers"} & set(sys.modules)
backend = pickle.load(sys.stdin.buffer)
load_tokenizer(backend.model).count(["text"])
vector = load_embedder(backend).encode(["def main(): pass"]).vectors
heavy = {"torch", "transformers", "sentence_transformers", "huggingface_hub"}
print(vector.shape, heavy & set(sys.modules))
"""


def test_a_worker_starts_without_torch(bf16: Backend) -> None:
    done = subprocess.run(
        [sys.executable, "-c", START], input=pickle.dumps(bf16), capture_output=True
    )
    assert done.stderr == b""
    assert done.stdout == b"(1, 384) set()\n"
