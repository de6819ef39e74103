"""A notebook is its cells: what was written in them, and what they put out as text."""

from __future__ import annotations

import json
from typing import Any

import pytest
from test_chunking import WordTokenizer

from indexer.config import Reading
from indexer.text.notebook import MOST_OUTPUT
from indexer.text.parts import chunk_parts
from indexer.text.source import Source, read_source
from indexer.types import Chunk

PICTURE = "iVBORw0KGgo" * 18_000  # about 200 kB


def code(*source: str, outputs: list[dict[str, Any]] | None = None) -> dict[str, Any]:
    return {
        "cell_type": "code",
        "execution_count": 1,
        "metadata": {},
        "outputs": outputs or [],
        "source": [*source],
    }


def plot(**data: Any) -> dict[str, Any]:
    return {"data": data, "metadata": {}, "output_type": "display_data"}


def notebook(*cells: Any, **metadata: Any) -> dict[str, Any]:
    return {"cells": [*cells], "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}


def read(value: Any, indent: int | None = 1) -> Source:
    text = value if isinstance(value, str) else json.dumps(value, indent=indent)
    return read_source("a.ipynb", text.encode(), Reading())


def chunks_of(source: Source) -> list[Chunk]:
    return list(chunk_parts(source.parts, WordTokenizer(), 64))


REPORT = notebook(
    {"cell_type": "markdown", "metadata": {}, "source": ["# Sales\n", "\n", "Cleaned."]},
    code(
        "def mean_of(df):\n",
        "    return df.mean()\n",
        outputs=[
            {"name": "stdout", "output_type": "stream", "text": ["\x1b[31mfive\x1b[0m rows\r\n", "done"]},
            plot(**{"image/png": PICTURE, "text/plain": ["<Figure size 640x480 with 1 Axes>"]}),
            plot(**{"text/html": "<table>markup</table>", "text/plain": ["   a\n", "0  1"]}),
            {"output_type": "error", "ename": "ValueError", "evalue": "bad", "traceback": ["\x1b[31mtrace"]},
        ],
    ),
    {"cell_type": "raw", "metadata": {}, "source": []},
    code("plot(df)\n"),
)  # fmt: skip
PARTS = [
    ("cell 1", "# Sales\n\nCleaned."),
    ("cell 2", "def mean_of(df):\n    return df.mean()"),
    ("cell 2 output", "five rows\ndone"),
    ("cell 2 output", "   a\n0  1"),
    ("cell 2 output", "ValueError\nbad"),
    ("cell 4", "plot(df)"),
]


def test_cells_in_reading_order() -> None:
    source = read(REPORT)
    assert [(part.place, part.text) for part in source.parts] == PARTS
    assert source.language == "jupyter"
    languages = [part.language for part in source.parts]
    assert languages == ["markdown", "python", None, None, None, "python"]
    chunks = chunks_of(source)
    assert [chunk.full_symbol for chunk in chunks] == [
        "cell 1.Sales",
        "cell 2.mean_of",
        *["cell 2 output"] * 3,
        "cell 4",
    ]
    assert chunks[1].embedded_text == "mean_of\n" + PARTS[1][1], "without its number"


@pytest.mark.parametrize("indent", [0, 1, 4])
@pytest.mark.parametrize("is_sorted", [True, False])
def test_a_line_of_a_chunk_is_the_line_of_the_file(
    indent: int, is_sorted: bool
) -> None:
    text = json.dumps(REPORT, indent=indent, sort_keys=is_sorted)
    lines = text.split("\n")
    for chunk in chunks_of(read(text)):
        written = chunk.text.split("\n")
        assert chunk.end_line == chunk.start_line + len(written) - 1
        for number, line in enumerate(written, chunk.start_line):
            assert line.strip() in lines[number - 1].replace("\\u001b[31m", "").replace("\\u001b[0m", "")  # fmt: skip


def test_a_notebook_in_one_line() -> None:
    source = read(REPORT, None)
    # Everything is on line 1: what one cell puts out needs no parts.
    assert "\n".join(part.text for part in source.parts) == "\n".join(text for _, text in PARTS)  # fmt: skip
    assert {(one.start_line, one.end_line) for one in chunks_of(source)} == {(1, 1)}
    # A source that is one string, as nbformat allows.
    source = read(notebook({"cell_type": "code", "source": "a = 1\nb = 2\n"}))
    ((start, end),) = {(one.start_line, one.end_line) for one in chunks_of(source)}
    assert start == end == 5


def test_older_versions() -> None:
    cells = [
        {"cell_type": "heading", "level": 1, "source": "Title"},
        {
            "cell_type": "code",
            "input": ["x <- 1"],
            "language": "R",
            "outputs": [
                {"output_type": "pyout", "text": ["[1] 1"], "png": PICTURE},
                {"output_type": "pyout", "text": "<pic>", "svg": "<svg>"},
            ],
        },
    ]
    source = read({"nbformat": 3, "worksheets": [{"cells": cells[:1]}, {"cells": cells[1:]}]})  # fmt: skip
    found = [(part.place, part.language, part.text) for part in source.parts]
    assert found == [
        ("cell 1", "markdown", "Title"),
        ("cell 2", "r", "x <- 1"),
        ("cell 2 output", None, "[1] 1"),
    ]


@pytest.mark.parametrize(
    ("metadata", "source", "language"),
    [
        ({}, "x", "python"),
        ({"kernelspec": {"language": "julia"}}, "x", "julia"),
        ({"language_info": {"name": "R"}}, "x", "r"),
        ({"language_info": {"name": "C++17"}}, "x", "cpp"),
        ({"language_info": {"name": "odd", "file_extension": ".rb"}}, "x", "ruby"),
        ({"language_info": {"name": "klingon"}}, "x", None),
        ({"kernelspec": 3, "language_info": []}, "x", "python"),
        ({}, "%%bash\nls", "bash"),
        ({}, "%%sql\nselect 1", "sql"),
        ({}, "%%time\nx", "python"),
    ],
)
def test_the_language_of_a_cell(
    metadata: dict[str, Any], source: str, language: str | None
) -> None:
    (part,) = read(notebook(code(source), **metadata)).parts
    assert part.language == language


def test_long_outputs_are_cut() -> None:
    log = [f"epoch {number}\n" for number in range(100_000)]
    stream = {"output_type": "stream", "text": log}
    source = read(notebook(code("train()", outputs=[stream, stream]), code("x")))
    (said,) = [part for part in source.parts if part.place == "cell 1 output"]
    assert said.text.startswith("epoch 0\nepoch 1\n") and said.text.endswith("\n[…]")
    assert MOST_OUTPUT / 2 < len(said.text) < MOST_OUTPUT + 9
    assert source.parts[-1].place == "cell 2"
    source = read(notebook(code("x", outputs=[{"text": "\n".join(log)}])))
    assert len(source.text) < MOST_OUTPUT + 9


@pytest.mark.parametrize(
    "text",
    [
        "[]",
        "{}",
        '{"cells": {}}',
        '{"worksheets": 3}',
        json.dumps(REPORT, indent=1)[:-9],
        "<<<<<<< HEAD\n" + json.dumps(REPORT, indent=1),
        "[" * 100_000,
        '{"a":' * 100_000,
    ],
)
def test_what_is_no_notebook_is_a_text_like_any_other(text: str) -> None:
    source = read(text)
    (part,) = source.parts
    assert part.text == text and part.language == "json"
    assert len(chunks_of(source)) < 40 or PICTURE not in text


@pytest.mark.parametrize(
    "cells",
    [
        [],
        [code()],
        [code(" \n", "\n", outputs=[plot(**{"image/png": PICTURE})])],
        [1, None, "x", [], {}, {"source": 3}, {"source": {"a": "b"}}],
    ],
)
def test_a_notebook_without_a_word_is_empty(cells: list[Any]) -> None:
    assert read(notebook(*cells)).reason == "empty"


def test_odd_cells_do_no_harm() -> None:
    odd = {"cell_type": "code", "outputs": "x", "source": ["a", None, ["b"], "\n", 3, "c"]}  # fmt: skip
    outputs: list[Any] = [{"text": ["\x07bell\x00"]}, 3, {"data": []}]
    lone = code("s = '\ud800'\0\n", outputs=outputs)
    source = read(notebook(odd, lone))
    assert [part.text for part in source.parts] == ["a", "c", "s = '?' ", " bell "]
    source.text.encode()


def test_secrets_of_cells_are_masked() -> None:
    token = "hunter22x9Qz7Lm4"
    cells = notebook(
        code(f'password = "{token}"\n', outputs=[{"text": [f"using {token}\n"]}]),
        code("print(password)\n"),
    )
    source = read(cells)
    assert source.masked == 2 and token not in source.text
    assert [part.text for part in source.parts][0] == 'password = "********"'
    assert [part.place for part in source.parts] == ["cell 1", "cell 1 output", "cell 2"]  # fmt: skip
    skipping = Reading(secrets="skip-file")
    assert read_source("a.ipynb", json.dumps(cells).encode(), skipping).reason == "secret"  # fmt: skip
