"""The benchmark of a GPU runs without one, and says in one line what is wrong."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from bench_harness import BENCHMARKS, finished, launch
from conftest import python_text


def project_of(folder: Path, files: int) -> Path:
    project = folder / "project"
    project.mkdir()
    for number in range(files):
        (project / f"{number}.py").write_text(python_text(number, 3))
    return project


@pytest.mark.slow  # it starts torch in six processes
def test_every_phase_on_a_cpu(tiny_model: str, tmp_path: Path) -> None:
    found = tmp_path / "found.json"
    done = finished(
        *("gpu.py", "--device", "cpu", "--tree", project_of(tmp_path, 3)),
        *("--model", tiny_model, "--sample", "5", "--json", found),
    )
    assert done.stderr == ""
    results = json.loads(found.read_text())
    assert results["precision"] == "bf16"
    run, ways, compared = results["run"], results["ways"], results["compared"]
    assert run["code"] == 0 and run["busy"] is None
    assert run["chunks"]["embedded"] >= 9
    assert 0 < run["embedding_share"] <= 1
    assert [way["texts"] for way in ways.values()] == 3 * [run["chunks"]["embedded"]]
    assert compared["texts"] == 5
    # bf16 is not f32, but near.
    assert 0.99 < compared["cosine"]["min"] <= compared["cosine"]["median"] < 1
    assert 0 < compared["overlap"] <= 1


def refused(*arguments: str | Path) -> str:
    done = launch("gpu.py", *arguments)
    assert done.returncode == 1
    lines = done.stderr.splitlines()
    assert len(lines) == 1 and lines[0].startswith("gpu.py: ")
    return lines[0]


def test_what_cannot_work_is_said(tmp_path: Path) -> None:
    nothing = tmp_path / "nothing"
    assert "is no folder" in refused("--tree", nothing)
    nothing.mkdir()
    assert "holds no wheels" in refused("--wheels", nothing)
    (nothing / "a-1-py3-none-any.whl").write_text("no wheel")
    assert "ERROR" in refused("--wheels", nothing)
    assert "--minutes needs more" in refused("--minutes", "0.1")


def test_a_machine_without_a_gpu(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    if torch.cuda.is_available():
        pytest.skip("there is a GPU here")
    assert "sees no CUDA device" in refused("--tree", tmp_path)


def test_what_nvidia_smi_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(BENCHMARKS)
    from busy import read_smi

    printed = "0, 97, 1536\n1, [N/A], [N/A]\n2, 0, 4\n"
    assert read_smi(printed) == [(0, 0.97, 1536.0), (2, 0.0, 4.0)]
    assert read_smi("NVIDIA-SMI has failed\n") == []


def test_the_share_is_that_of_the_time_at_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(BENCHMARKS)
    import busy

    monkeypatch.setattr(busy, "PERIOD", 0.001)
    shares = iter([0.0, 0.0, 0.5, 0.0, 1.0])
    with busy.Busy(lambda: [(0, 0.0, 10.0), (1, next(shares, 0.0), 30.0)]) as found:
        while len(found.samples.get(1, ())) < 8:
            time.sleep(0.01)
    assert found.share() == 0.5
    assert found.memory_mib == 30
    with busy.Busy(None) as unknown:
        pass
    assert unknown.share() is None


def test_nvidia_smi_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(BENCHMARKS)
    import busy

    monkeypatch.setenv("PATH", str(tmp_path))
    assert busy._smi() is None
    command = tmp_path / "nvidia-smi"
    command.write_text("#!/bin/sh\necho '0, 12, 300'\n")
    command.chmod(0o755)
    look = busy._smi()
    assert look is not None and look() == [(0, 0.12, 300.0)]


def test_the_trace_tells_how_long_batches_took(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(BENCHMARKS)
    from gpu_phases import read_trace

    def batch(start: float, seconds: float) -> dict[str, object]:
        about = {"chunks": 100, "tokens": 1_000, "padding": 0}
        times = {"ts": start * 1e6, "dur": seconds * 1e6}
        return {"name": "embed", "ph": "X", "pid": 7, **times, "args": about}

    other = {"name": "process_name", "ph": "M", "pid": 7, "args": {"name": "a"}}
    trace = tmp_path / "trace.json"
    events = [other, batch(0, 5), batch(10, 2), batch(13, 1)]
    trace.write_text(json.dumps({"traceEvents": events}))
    found = read_trace(trace)
    assert found["embedding_seconds"] == 4
    assert found["embedding_share"] == 0.75
    assert found["embedding_texts_per_second"] == 50
    trace.write_text(json.dumps({"traceEvents": [other]}))
    assert read_trace(trace)["embedding_share"] == 0


def test_tasks_are_those_of_a_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(BENCHMARKS)
    from gpu_phases import generations

    tokens = [n * 37 % 251 for n in range(9_000)]
    found = list(generations(tokens, is_cuda=True))
    assert [len(task) for task in found] == [2048, 2048, 2048, 2048, 808]
    assert sorted(sum(found, [])) == list(range(9_000))
    assert [tokens[index] for index in found[0]] == sorted(
        (tokens[index] for index in found[0]), reverse=True
    )
