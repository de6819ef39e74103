"""Indexes whose vectors come from an endpoint, with a real server that fails as it is told."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import Project, only_slow, wait_for
from embedding_server import HANG_SECONDS, Server, serving

from indexer import Index
from indexer.vectors.tokenizer import ByteTokenizer


@pytest.fixture(scope="module")
def started(model_cache: Path) -> Iterator[Server]:
    with serving(model_cache) as server:
        yield server


@pytest.fixture
def server(started: Server) -> Server:
    started.set()
    return started


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is tried again is tried at once."""
    monkeypatch.setattr("indexer.vectors.delivery.FIRST_PAUSE", 0.001)


def fill(project: Project, files: int = 3, definitions: int = 12) -> None:
    for number in range(files):
        text = "\n\n".join(
            f"def of_{number}_{one}(value):\n"
            f'    """The {one}th answer of {number} to a value that was given."""\n'
            f"    total = value * {one} + {number}\n"
            f"    return [total for _ in range({one})]\n"
            for one in range(definitions)
        )
        project.write(f"part_{number}.py", text)


@pytest.fixture
def in_small_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    import indexer.work.remote  # noqa: F401  (takes the size of a task from it)

    monkeypatch.setattr("indexer.vectors.delivery.BATCH_TEXTS", 1)


def refused(project: Project, *arguments: str, code: int = 1) -> str:
    """The only line that a run says which is refused."""
    done = project.command("run", *arguments)
    assert done.returncode == code, done.stderr
    (line,) = done.stderr.strip().splitlines()
    return line


def edit(project: Project) -> None:
    project.write("new.py", "def brand_new():\n    return 'not seen before'\n")


def same_but_for_vectors(rows: dict[str, Any], others: dict[str, Any]) -> bool:
    """Whether rows are equal, and their vectors up to what another kernel makes of them."""
    assert rows.keys() == others.keys()
    for key, row in rows.items():
        one, other = np.array(row["vector"]), np.array(others[key]["vector"])
        assert float(one @ other) > 0.9999
        assert {**row, "vector": 0} == {**others[key], "vector": 0}
    return True


def test_rows_equal_those_of_the_model_here(project: Project, server: Server) -> None:
    """Also where the server fails in every way that it may fail for a moment."""
    fill(project)
    report = project.run("--model", server.model)
    assert report["status"] == "updated" and report["chunks"]["truncated"] == 0
    texts = server.told["texts"]
    assert len(texts) == len({*texts}) == report["chunks"]["embedded"] <= 16
    assert server.told["requests"] == 3  # twice the probes, then all texts at once
    remote = project.rows()
    project.command("clear", "--yes")
    project.run("--cache-size", "0")
    assert same_but_for_vectors(remote, project.rows())


def test_failures_that_pass(
    project: Project, server: Server, quick: None, in_small_requests: None
) -> None:
    faults = "500 429 reset garbage count nan numbers".split()
    fill(project, 4)
    server.set(faults=faults, every=2, headers={"retry-after": "0"}, is_shuffled=True)
    report = project.run("--model", server.model, "--model-concurrency", "3")
    told = server.told
    assert told["requests"] >= 2 * len(faults) and told["most_at_once"] <= 3
    assert len(told["texts"]) == len({*told["texts"]}) == report["chunks"]["embedded"]
    flawed = project.rows()
    project.command("clear", "--yes")
    server.set()
    project.run("--model", server.model, "--cache-size", "0")
    assert same_but_for_vectors(flawed, project.rows())


def test_nobody_is_asked_where_nothing_is_new(project: Project, server: Server) -> None:
    fill(project, 1)
    project.run("--model", server.model)
    server.set()
    assert project.run("--model", server.model)["status"] == "unchanged"
    (project.root / "part_0.py").rename(project.root / "renamed.py")
    assert project.run("--model", server.model)["files"]["renamed"] == 1
    assert project.report("status", "--model", server.model)["model"] == (
        "openai#all-MiniLM-L6-v2"
    )
    project.report("verify", "--model", server.model)
    # The cache's file and the model have another address, and are the same.
    project.command("clear", "--yes")
    moved = server.model.replace("127.0.0.1", "localhost")
    assert project.run("--model", moved)["chunks"]["embedded"] == 0
    assert server.told["requests"] == 0


def test_an_endpoint_that_dies(
    project: Project, server: Server, quick: None, in_small_requests: None
) -> None:
    fill(project)
    server.set(faults=["503"], after=4)
    line = refused(project, "--model", server.model, code=69)
    assert line.startswith("codx-index: the endpoint http://127.0.0.1:")
    assert line.endswith("cannot embed: HTTP 503: told to say 503")
    before = server.told["texts"]
    assert before
    server.set()
    report = project.run("--model", server.model)
    after = server.told["texts"]
    assert not {*before} & {*after} and report["chunks"]["embedded"] == len(after)
    assert report["chunks"]["total"] == len(before) + len(after)
    assert project.command("verify", "--model", server.model).returncode == 0


def test_nobody_answers(project: Project, quick: None) -> None:
    fill(project, 1)
    line = refused(project, "--model", "openai+http://127.0.0.1:9/v1#any", code=69)
    assert "the endpoint http://127.0.0.1:9/v1 cannot embed: " in line


def test_another_model_behind_the_name(project: Project, server: Server) -> None:
    fill(project, 1)
    project.run("--model", server.model)
    edit(project)
    for plan, problem in (
        (
            {"other": 1},
            "has a different model behind the name all-MiniLM-L6-v2 (vectors at",
        ),
        (
            {"faults": ["dimension"]},
            "returns vectors of 383 dimensions instead of 384",
        ),
    ):
        server.set(**plan)
        line = refused(project, "--model", server.model)
        assert problem in line and "--model-revision" in line
        assert server.told["texts"] == []
    server.set(other=1)
    report = project.run("--model", server.model, "--model-revision", "2")
    assert report["chunks"]["embedded"] == report["chunks"]["total"]


@pytest.mark.slow
def test_an_index_or_a_cache_of_another_model(
    project: Project, server: Server, tmp_path: Path, cache_dir: Path
) -> None:
    """Both may come from another machine, on which the name meant something else."""
    fill(project, 1)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "models").symlink_to(cache_dir / "models")
    name = Server(server.port, server.process, "moody")
    short = ("--model", name.model, "--model-max-tokens", "256")
    project.run(*short)
    project.command("cache", "export", str(tmp_path / "exported"))
    edit(project)
    server.set(other=1)
    for memo in (cache_dir / "models").glob("endpoint-*.json"):
        memo.unlink()
    project.environment["CODX_INDEX_CACHE_DIR"] = str(elsewhere)
    assert "different model behind the name moody" in refused(project, *short)
    project.command("clear", "--yes")
    project.command("cache", "import", str(tmp_path / "exported"))
    assert "different model behind the name moody" in refused(project, *short)


@pytest.mark.parametrize(
    "plan", [{"refused": "of_1_7"}, *only_slow({"fatal": "of_1_7"})]
)
def test_a_text_that_is_refused_fails_its_file_alone(
    project: Project, server: Server, quick: None, plan: dict[str, Any]
) -> None:
    fill(project)
    server.set(**plan)
    report = project.run("--model", server.model, code=3)
    (failure,) = report["failures"]
    assert failure["path"] == "part_1.py" and "told to say" in failure["error"]
    texts = server.told["texts"]
    assert len(texts) == len({*texts})
    server.set()
    report = project.run("--model", server.model, "--retry-failed")
    assert report["chunks"]["embedded"] <= 2  # the others of the file are in the cache
    assert not {*texts} & {*server.told["texts"]}


def test_too_many_texts_in_a_request(project: Project, server: Server) -> None:
    fill(project)
    server.set(most=5)
    report = project.run("--model", server.model)
    told = server.told
    assert len(told["texts"]) == len({*told["texts"]}) == report["chunks"]["embedded"]


def test_a_key(project: Project, server: Server, quick: None) -> None:
    fill(project, 1)
    server.set(key="sesame-17")
    line = refused(project, "--model", server.model)
    assert "requires a key in CODX_INDEX_API_KEY (HTTP 401" in line
    project.environment["CODX_INDEX_API_KEY"] = "swordfish-9"
    line = refused(project, "--model", server.model)
    assert "refuses the key in CODX_INDEX_API_KEY" in line and "swordfish" not in line
    project.environment["CODX_INDEX_API_KEY"] = "sesame-17"
    done = project.command("run", "--model", server.model, "-vv")
    assert done.returncode == 0, done.stderr
    state = [*project.root.glob(".codx/**/*"), *project.cache_dir.glob("*")]
    kept = b"".join(one.read_bytes() for one in state if one.is_file())
    assert b"sesame" not in kept and "sesame" not in done.stdout + done.stderr
    line = refused(project, "--model", "openai+http://models.example/v1#x", code=2)
    assert "unencrypted" in line and "CODX_INDEX_API_KEY_OVER_HTTP=1" in line


def test_what_an_endpoint_does_not_go_with(project: Project) -> None:
    fill(project, 1)
    far, near = "openai+https://models.example/v1#x", "openai+http://localhost:9/v1#x"
    for arguments, problem in (
        (("--model", far, "--secrets", "off"), "sent to https://models.example"),
        (("--model", far, "--include-secrets"), "leave out --include-secrets"),
        (("--model", near, "--precision", "int8"), "--precision int8"),
        (("--model-revision", "2"), "is for an endpoint"),
        (("--model-max-tokens", "99"), "is for an endpoint"),
        (
            ("--model", "openai+https://me:pass@models.example/v1#x"),
            "CODX_INDEX_API_KEY",
        ),
        (
            ("--model", "openai+https://models.example/v1?key=pass#x"),
            "CODX_INDEX_API_KEY",
        ),
        (("--model", "openai+https://models.example/v1"), "does not name the model"),
        (
            ("--model", "openai+ftp://models.example/v1#x"),
            "is not the endpoint of a model",
        ),
    ):
        line = refused(project, *arguments, code=2)
        assert problem in line and "pass" not in line
    project.write("codx-index.toml", f'model = "{near}"\n')
    assert "sends data elsewhere" in refused(project, code=2)


def test_redirects_are_not_followed(project: Project, server: Server) -> None:
    fill(project, 1)
    server.set(faults=["redirect"])
    line = refused(project, "--model", server.model)
    assert "redirects to https://elsewhere.example (HTTP 307)" in line


@pytest.mark.slow
def test_no_answer_in_time(project: Project, server: Server, quick: None) -> None:
    fill(project, 1)
    project.run("--model", server.model)
    edit(project)
    server.set(faults=["hang"])
    line = refused(project, "--model", server.model, "--task-timeout", "0.2", code=69)
    assert line.endswith("cannot embed: no answer within 0.2 s")


def test_an_interrupt_waits_for_no_answer(
    project: Project, server: Server, in_small_requests: None
) -> None:
    """What was answered before is kept."""
    fill(project)
    server.set(faults=["hang"], after=4)

    def interrupt() -> None:
        wait_for(lambda: server.told["requests"] > 5)
        time.sleep(1)  # the last answers are on their way
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    began = time.monotonic()
    done = project.command("run", "--model", server.model)
    thread.join()
    assert done.returncode == 128 + signal.SIGINT, done.stderr
    assert time.monotonic() - began < HANG_SECONDS
    before = server.told["texts"]
    server.set()
    project.run("--model", server.model)
    assert before and not {*before} & {*server.told["texts"]}


@pytest.mark.slow
def test_a_model_whose_tokenizer_is_not_here(project: Project, server: Server) -> None:
    """Its texts are as short in bytes as they may be in tokens."""
    fill(project)
    name = Server(server.port, server.process, "of-nobody")
    server.set(has_base64=False)
    line = refused(project, "--model", name.model)
    assert "truncates texts of 512 tokens: set --model-max-tokens" in line
    model = ("--model", name.model, "--model-max-tokens", "256")
    report = project.run(*model)
    assert report["chunks"]["truncated"] == 0
    longest = max(len(row["text"].encode()) for row in project.rows().values())
    assert 100 < longest <= 256 - ByteTokenizer.SPECIAL
    assert project.command("verify", *model).returncode == 0
    # What was found out for shorter texts does not hold for longer ones.
    assert "truncates texts of 4000" in refused(project, *model[:3], "4000")


def test_it_is_said_once_that_source_is_sent_away(
    project: Project, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("indexer.address.Endpoint.is_loopback", False)
    fill(project, 1)
    first = project.command("run", "--model", server.model).stderr
    assert f"is sent to http://127.0.0.1:{server.port}, unencrypted, " in first
    edit(project)
    assert "sent" not in project.command("run", "--model", server.model).stderr


def test_words_first(project: Project, server: Server) -> None:
    fill(project, 1)
    assert (
        project.run("--model", server.model, "--mode", "sparse")["chunks"]["embedded"]
        == 0
    )
    assert server.told["texts"] == []
    report = project.run("--model", server.model, "--sparse-first")
    assert report["chunks"]["embedded"] == report["chunks"]["total"]


@pytest.mark.parametrize("kind", ["thread", *only_slow("serial")])
def test_any_executor_chunks_for_it(
    project: Project, server: Server, kind: str
) -> None:
    fill(project, 1)
    large = "\n".join(f"{n},{n * n},{n % 7}" for n in range(8_000))
    project.write("large.csv", large)  # chunked, and found by words alone
    report = project.run("--model", server.model, "--executor", kind)
    assert report["files"]["by_words"] == 1
    assert len(server.told["texts"]) == report["chunks"]["embedded"] > 1


def test_queries_go_the_same_way(
    project: Project, server: Server, quick: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(project)
    project.run("--model", server.model)
    server.set()
    found = project.report("search", "seventh answer", "--model", server.model)
    assert found["hits"] and server.told["texts"] == ["seventh answer"]
    done = project.command("search", "seventh answer", "--mode", "dense")
    assert done.returncode == 1
    assert "--model openai+https://HOST/v1#all-MiniLM-L6-v2" in done.stderr
    dense = ("search", "seventh answer", "--mode", "dense", "--model", server.model)
    done = project.command(*dense, "--model-revision", "2")
    assert "different --model-revision" in done.stderr
    server.set(other=1)
    assert "has a different model behind the name" in project.command(*dense).stderr
    server.set(faults=["503"])
    done = project.command(*dense)
    assert done.returncode == 69 and "(--mode sparse searches" in done.stderr
    server.set()
    monkeypatch.setenv("CODX_INDEX_CACHE_DIR", str(project.cache_dir))
    with Index.open(project.root, model=server.model) as index:
        assert index.search("ninth answer", mode="dense")
        assert index.search("fifth answer", mode="dense")
    assert server.told["texts"] == ["ninth answer", "fifth answer"]
