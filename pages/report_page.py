"""The page of the report and the events, made from indexer/schema.json."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from importlib.resources import files
from typing import Any

HEAD = """# The report and the events

    codx-index run --json > report.json
    codx-index run --events events.jsonl
    codx-index run --webhook https://ci.example.org/codx

A program reads what a run did in one JSON object (`--json`), and what it does in a stream of events. Fields are only ever added. The JSON
Schema of all of it is in the package: `importlib.resources.files("indexer") / "schema.json"`; this page is made from it.
[Around a run](../how-to/hooks.md#events) says how events are delivered.

    {"status": "updated", "exit_code": 0, "error": "",
     "project": "…", "collection": "…", "uri": "…", "fingerprint": "…",
     "files": {"scanned": 31, "unchanged": 28, "added": 0, "modified": 1, "renamed": 1, "deleted": 1, "failed": 0,
               "deferred": 0, "read": 3, "skipped": {"empty": 1}, …},
     "chunks": {"total": 413, "unembedded": 0, "by_words": 12, "embedded": 1, "cached": 9, "upserted": 10,
                "deleted": 6, "truncated": 0, "tokens": 96, "padding": 0},
     "secrets": {"masked": 0},
     "mentions": {"pending": [{"path": "src/app.py", "line": 12, "text": "…"}], "succeeded": 0, "failed": 0},
     "wiki": {"pages": 0, "written": 0, "deleted": 0, "failed": 0},
     "events": {"emitted": 0, "undelivered": 0},
     "seconds": {"total": 0.865, "start": 0.09, "scan": 0.004, "diff": 0.0, "chunk": 0.03, "embed": 0.017, …},
     "failures": [], "growth": null}
"""
EVENTS = """## Events

Each event is one object: a line of `--events`, or an element of a delivery to `--webhook`.

    {"event": "file-loaded", "version": 1, "run": "6f0c…", "seq": 4, "time": "2026-11-25T15:30:00.123Z",
     "path": "src/app.py", "change": "modified", "file_hash": "9c1e…", "chunks": 12}
"""
WHEN = {
    "run-started": "The first event of a run.",
    "plan": "The tree was compared with the index.",
    "file-loaded": "Milvus acknowledged the rows of a file, and the manifest was committed.",
    "file-deleted": "Milvus acknowledged that the rows of a file are gone.",
    "file-skipped": "A changed file was looked at and left out.",
    "file-failed": "A file could not be indexed, or a hook about it failed.",
    "mention-pending": "A mention was found.",
    "wiki-updated": "The wiki was brought up to date.",
    "run-finished": "The last event, however the run ended.",
}

Schema = Mapping[str, Any]


def page() -> str:
    """The page, in Markdown."""
    schema = json.loads(files("indexer").joinpath("schema.json").read_text("utf-8"))
    kinds = schema["$defs"]
    parts = [HEAD, "## Report\n", _table(kinds["report"])]
    parts += ["## Report of `run-all`\n", _table(kinds["run_all"]), EVENTS]
    parts.append(_table(kinds["event"]))
    for name, about in WHEN.items():
        parts += [f"### {name}\n", f"{about}\n"]
        parts.append(_table(kinds[name], but=("event",)))
    parts += ["## Delivery\n", kinds["delivery"]["description"] + "\n"]
    parts.append(_table(kinds["delivery"]))
    return "\n".join(parts)


def _table(schema: Schema, but: tuple[str, ...] = ()) -> str:
    heads = "| field | type | meaning |"
    rows = [f"| `{name}` | {kind} | {about} |" for name, kind, about in _fields(schema)]
    kept = [row for row in rows if not any(row.startswith(f"| `{one}`") for one in but)]
    return "\n".join([heads, re.sub("[^|]+", "---", heads), *kept]) + "\n"


def _fields(schema: Schema, before: str = "") -> Iterator[tuple[str, str, str]]:
    """Name, type and meaning of each field of an object, those in it included."""
    required = schema.get("required", schema.get("properties", ()))
    for name, one in schema.get("properties", {}).items():
        about = one.get("description", "")
        if "enum" in one:
            about = f"{about} One of {', '.join(f'`{x}`' for x in one['enum'])}."
        kind = _type(one) + ("" if name in required else ", optional")
        yield before + name, kind, _escaped(about.strip())
        if name == "seconds":  # what each stage is, its name says
            continue
        yield from _fields(one, f"{before}{name}.")
        yield from _fields(one.get("items") or {}, f"{before}{name}[].")


def _type(schema: Schema) -> str:
    if "$ref" in schema:
        return str(schema["$ref"]).rpartition("/")[2]
    if "oneOf" in schema:
        return " or ".join(_type(one) for one in schema["oneOf"])
    if "const" in schema:
        return f"`{json.dumps(schema['const'])}`"
    kinds = schema.get("type", "string")
    return " or ".join([kinds] if isinstance(kinds, str) else kinds)


def _escaped(text: str) -> str:
    return re.sub(r"([|*<\[\]])|(?<!`)_(?=\w)", lambda m: "\\" + m[0], text)
