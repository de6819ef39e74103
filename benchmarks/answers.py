"""What do answers of the MCP server cost a model, in tokens, and sessions a machine, in memory?

    python benchmarks/answers.py PROJECT [--set FILE] [--sessions N]... [--cache-dir DIR] [--json FILE]

PROJECT is an indexed folder. Each query of the set (`retrieval.json`, whose first entry is this
repository) is asked with the defaults of the tool `search`. The text of its answer is compared with
the JSON of the same hits, as an answer with a schema has them: `hits`, each with `project`, `path`,
`start_line`, `end_line`, `score`, `symbol`, `language`, `text`, `before` and `after`, and `notes`.
Characters are counted, and tokens by the tokenizer that docs/how-to/mcp.md names.

Then N sessions are opened over stdio, each a process of its own, and N over HTTP in one process.
Each asks a few questions. Memory is the proportional set size (PSS) of all server processes, in MiB,
in which what they share counts once.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import mean
from typing import Any

from common import COMMAND, headline, write_json

HERE = Path(__file__).parent
TOKEN = "a-token-of-the-benchmark"
QUESTIONS = ("where are payments tried again", "RetryPolicy", "a lock for one run")

Ask = Callable[[str, dict[str, Any]], Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("project", type=Path)
    parser.add_argument("--set", type=Path, default=HERE / "retrieval.json")
    parser.add_argument("--sessions", type=int, action="append", default=[])
    parser.add_argument("--cache-dir", type=Path)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    if options.cache_dir:
        os.environ["CODX_INDEX_CACHE_DIR"] = str(options.cache_dir.absolute())
    project = options.project.absolute()
    print(headline())
    results: dict[str, Any] = {"answers": answers(project, options.set)}
    print(*shown(results["answers"]), sep="\n")
    results["sessions"] = []
    for number in options.sessions:
        found = {
            "sessions": number,
            "stdio": memory(over_stdio, project, number),
            "http": memory(over_http, project, number),
        }
        results["sessions"].append(found)
        print(
            f"{number} sessions: {found['stdio']:,.0f} MiB over stdio, "
            f"{found['http']:,.0f} MiB over HTTP"
        )
    write_json(options.json, results)


def answers(project: Path, queries: Path) -> list[dict[str, Any]]:
    """The characters and tokens of both forms of each answer."""
    from indexer import Index
    from indexer.cli.fresh import Refresher
    from indexer.cli.mcp_tools import Projects, Tools
    from indexer.search.tokens import token_counter
    from indexer.settings.assembly import settings_for

    settings = settings_for(str(project), {})
    count = token_counter(settings.cache_dir)
    projects = Projects([settings], Refresher([settings], {}), refreshes=False)
    tools = Tools(projects, projects.searchers, lambda line: None)
    asked = [one["query"] for one in json.loads(queries.read_text())[0]["queries"]]
    found = []
    with Index.open(project) as index:
        for query in asked:
            text = tools.search(query).content[0].model_dump()["text"]
            answer = index.answer(query)
            hits = [
                {
                    **{"project": hit.project, "path": hit.path},
                    **{"start_line": hit.start_line, "end_line": hit.end_line},
                    **{"score": round(hit.score, 4), "symbol": hit.symbol},
                    **{"language": hit.language, "text": hit.text},
                    **{"before": hit.before, "after": hit.after},
                }
                for hit in answer.hits
            ]
            # The same notes as in the text, which this has last.
            notes = re.findall("^note: (.*)$", text.partition("\n\n")[0], re.M)
            both = {
                "text": text,
                "json": json.dumps(
                    {"hits": hits, "notes": notes},
                    ensure_ascii=False,
                    separators=(",", ":"),
                ),
            }
            sizes = {
                name: {"characters": len(form), "tokens": count(form)}
                for name, form in both.items()
            }
            found.append({"query": query, **sizes})
    projects.close()
    return found


def shown(found: Sequence[dict[str, Any]]) -> Iterator[str]:
    yield f"{len(found)} answers, means: text, JSON, text / JSON"
    for unit in ("characters", "tokens"):
        text = mean(one["text"][unit] for one in found)
        as_json = mean(one["json"][unit] for one in found)
        worst = max(one["text"][unit] / one["json"][unit] for one in found)
        yield (
            f"{unit:>12}: {text:8,.0f} {as_json:8,.0f}  {text / as_json:.2f} "
            f"(at most {worst:.2f})"
        )


def memory(
    serve: Callable[[ExitStack, Path, int], list[int]], project: Path, number: int
) -> float:
    """The memory of the servers of so many sessions, in MiB."""
    with ExitStack() as stack:
        return sum(map(pss_mib, serve(stack, project, number)))


def over_stdio(stack: ExitStack, project: Path, number: int) -> list[int]:
    """Open sessions, each with a server of its own; the ids of the processes."""
    return [stack.enter_context(stdio_session(project)) for _ in range(number)]


@contextmanager
def stdio_session(project: Path) -> Iterator[int]:
    process = subprocess.Popen(
        [COMMAND, "mcp", "--no-refresh", project],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None and process.stdout is not None
    source, target = process.stdout, process.stdin

    def ask(method: str, params: dict[str, Any]) -> Any:
        request = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        target.write(json.dumps(request) + "\n")
        target.flush()
        return json.loads(source.readline())["result"]

    with process:
        converse(ask)
        yield process.pid
        target.close()


def over_http(stack: ExitStack, project: Path, number: int) -> list[int]:
    """Open sessions with one server; the id of its process."""
    process = stack.enter_context(
        subprocess.Popen(
            [COMMAND, "mcp", "--no-refresh", "--http", "0", project],
            env={**os.environ, "CODX_INDEX_MCP_TOKEN": TOKEN},
            stdout=subprocess.PIPE,
            text=True,
        )
    )
    stack.callback(process.terminate)
    assert process.stdout is not None
    url = process.stdout.readline().strip()
    for _ in range(number):
        converse(HttpSession(url))
    return [process.pid]


class HttpSession:
    """A session over HTTP."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._headers = {
            "Authorization": f"Bearer {TOKEN}",
            "Accept": "application/json, text/event-stream",
            "Content-Type": "application/json",
        }

    def __call__(self, method: str, params: dict[str, Any]) -> Any:
        request = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        data = json.dumps(request).encode()
        asked = urllib.request.Request(self._url, data, self._headers)
        with urllib.request.urlopen(asked) as answer:
            if session := answer.headers["Mcp-Session-Id"]:
                self._headers["Mcp-Session-Id"] = session
            return json.load(answer)["result"]


def converse(ask: Ask) -> None:
    """Begin a session and ask some questions."""
    about = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {}}
    ask("initialize", about)
    for question in QUESTIONS:
        arguments = {"query": question}
        result = ask("tools/call", {"name": "search", "arguments": arguments})
        if result.get("isError"):
            sys.exit(result["content"][0]["text"])


def pss_mib(pid: int) -> float:
    """What a process has in memory, with its share of what it shares."""
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    found = re.search(r"^Pss:\s+(\d+) kB", text, re.M)
    assert found is not None
    return int(found[1]) / 1024


if __name__ == "__main__":
    main()
