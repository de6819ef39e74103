"""How many requests at a time should an embedding endpoint get?

    python benchmarks/endpoints.py [--rounds N] [--concurrency N ...] [--latency MS ...] [--json FILE]

A server in a process of its own answers each request after 50 or 200 ms, with the vectors of 32 texts
(384 dimensions, base64). The client is that of a run: its executor, with everything that it checks,
fed as the scheduler feeds it. Figures are medians over the rounds, in which the measurements take turns; `cores` is
the user and system time of this process over the wall time, and `ratio` is to one request at a time.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import json
import sys
import time
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import suppress
from pathlib import Path
from typing import Any

from common import (
    Unexpected,
    answer_on_any_port,
    headline,
    median,
    served,
    surroundings,
    write_json,
)

from indexer.address import Endpoint
from indexer.types import ID_BYTES
from indexer.vectors.delivery import BATCH_TEXTS
from indexer.vectors.endpoint import PROBES, packed
from indexer.work import worker
from indexer.work.remote import RemoteEmbedders

LATENCIES = (50, 200)  # ms
CONCURRENCY = (1, 2, 4, 8, 16, 32, 64)
DIMENSION = 384
TOKENS = 100  # of a text
LEAST_REQUESTS, MOST_REQUESTS = 40, 2_000
SECONDS = 3.0  # that a measurement takes about, where that many requests allow


def main() -> None:
    options = parsed()
    print(headline())
    found: dict[tuple[int, int], list[dict[str, float]]] = {}
    with served(serve) as port:
        for _ in range(options.rounds):
            for latency in options.latency:
                for concurrency in options.concurrency:
                    one = measured(port, latency, concurrency)
                    found.setdefault((latency, concurrency), []).append(one)
    rows = []
    for (latency, concurrency), rounds in found.items():
        names = ("requests", "texts", "cores")
        row = {name: median([one[name] for one in rounds]) for name in names}
        rows.append({"latency": latency, "concurrency": concurrency, **row})
    report(rows)
    if options.json:
        write_json(options.json, {**surroundings(), "rows": rows})


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--concurrency", type=int, nargs="+", default=[*CONCURRENCY])
    parser.add_argument("--latency", type=int, nargs="+", default=[*LATENCIES])
    parser.add_argument("--json", type=Path)
    return parser.parse_args()


def measured(port: int, latency: int, concurrency: int) -> dict[str, float]:
    """Requests and texts a second with so many requests at a time, once all are under way."""
    endpoint = Endpoint(f"http://127.0.0.1:{port}/{latency}", "benchmark")
    likely = SECONDS * concurrency * 1000 / latency
    count = round(min(max(LEAST_REQUESTS, likely), MOST_REQUESTS))
    with RemoteEmbedders(
        endpoint, packed(vectors(len(PROBES))), concurrency, 0
    ) as pool:
        together(pool, concurrency, concurrency)  # opens the connections
        cpu, began = time.process_time(), time.monotonic()
        together(pool, count, concurrency)
        seconds = time.monotonic() - began
        return {
            "requests": count / seconds,
            "texts": BATCH_TEXTS * count / seconds,
            "cores": (time.process_time() - cpu) / seconds,
        }


def together(pool: RemoteEmbedders, count: int, concurrency: int) -> None:
    """Have so many tasks done, with twice as many handed out as run, as the scheduler does."""
    ids = [bytes(ID_BYTES * TOKENS)] * BATCH_TEXTS
    pending: set[Future[Any]] = set()
    for number in range(count):
        if len(pending) >= 2 * concurrency:
            done, pending = wait(pending, return_when=FIRST_COMPLETED)
            check(done)
        texts = [
            f"{number} {one} " + "of a text " * (TOKENS // 3)
            for one in range(BATCH_TEXTS)
        ]
        pending.add(pool.submit(worker.embed_texts, texts, ids))
    check(pending)


def check(futures: set[Future[Any]]) -> None:
    for future in futures:
        if future.result().vectors.shape != (BATCH_TEXTS, DIMENSION):
            raise Unexpected("an answer is not what was asked for")


def vectors(count: int) -> Any:
    """Unit vectors, always the same."""
    import numpy as np

    found = np.random.default_rng(0).normal(size=(count, DIMENSION)).astype(np.float32)
    return found / np.linalg.norm(found, axis=1, keepdims=True)


def serve(sender: Any) -> None:
    """Answer on any port: the path begins with the milliseconds that an answer takes."""
    answers = {count: answer_for(count) for count in (len(PROBES), BATCH_TEXTS)}

    async def answer_all(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                _, _, rest = head.lower().partition(b"content-length:")
                body = await reader.readexactly(int(rest.split(maxsplit=1)[0]))
                await asyncio.sleep(int(head.split(b"/", 2)[1]) / 1000)
                writer.write(answers[len(json.loads(body)["input"])])
        writer.close()

    answer_on_any_port(answer_all, sender)


def answer_for(count: int) -> bytes:
    data = [
        {"index": number, "embedding": base64.b64encode(one.tobytes()).decode()}
        for number, one in enumerate(vectors(count))
    ]
    body = json.dumps({"object": "list", "data": data}).encode()
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)


def report(rows: list[dict[str, Any]]) -> None:
    """Print the results as a Markdown table, and keep the ratio in each row."""
    print(
        "\n| ms | at a time | requests/s | × one | texts/s | cores |\n|" + "---:|" * 6
    )
    for row in rows:
        one = next(
            (
                other["requests"]
                for other in rows
                if (other["latency"], other["concurrency"]) == (row["latency"], 1)
            ),
            float("nan"),
        )
        row["ratio"] = row["requests"] / one
        print(
            f"| {row['latency']} | {row['concurrency']} | {row['requests']:,.1f}"
            f" | {row['ratio']:.1f} | {row['texts']:,.0f} | {row['cores']:.2f} |"
        )


if __name__ == "__main__":
    try:
        main()
    except Unexpected as error:
        sys.exit(str(error))
