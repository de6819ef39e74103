"""The commands that stand in the pages, as one would type them."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("**/*.md"))]
# Its usage lines are those of click, with [OPTIONS].
MADE = "commands.md"

NOT_RUN = {
    r"openai\+https": "needs an endpoint: tests/work/test_endpoint.py has one",
    r"--webhook": "needs a receiver: tests/hooks/test_hooks.py has one",
    r"dask:|tls:": "needs a cluster: tests/work/ has one",
    r"^worker ": "needs a cluster: tests/work/ has one",
    r"^mcp": "ends with its client: tests/cli/test_mcp.py has one",
    r"^(un)?install": "writes into a home: tests/cli/test_install.py runs each",
    r"--seed|^export": "needs another worktree: tests/run/test_seed.py has some",
    r"^hooks ": "starts runs in the background: tests/githooks/ has them",
    r"^run-all --from": "clones: tests/run/test_listed.py does so from this machine",
    r"int8": "calibrates for half a minute: tests/vectors/ does so once",
}
"""Which commands of the pages no test of the pages runs, and why."""


class Example(NamedTuple):
    """A command line of a page: what stands before a pipe, and the arguments of ours."""

    page: str
    before: str
    arguments: tuple[str, ...]

    @property
    def reason_not_to_run(self) -> str:
        """Why no test of the pages runs it, "" if one does."""
        line = " ".join(self.arguments)
        return next((why for what, why in NOT_RUN.items() if re.search(what, line)), "")


def blocks(text: str) -> Iterator[str]:
    """The blocks of code in which commands stand."""
    yield from re.findall(r"^```(?:sh|console)\n(.*?)^```", text, re.M | re.S)
    plain = re.sub(r"^```.*?^```", "", text, flags=re.M | re.S)
    yield from re.findall(r"(?:^    .*\n?)+", plain, re.M)


def examples() -> Iterator[Example]:
    """Every command line of ours in the pages."""
    for page in PAGES:
        if page.name == MADE:
            continue
        for block in blocks(page.read_text(encoding="utf-8")):
            for line in re.sub(r" *\\\n *", " ", block).split("\n"):
                line = line.strip().removeprefix("$ ")
                if found := re.fullmatch(
                    r"(?:(.*) \| )?codx-index ((?:[a-z].*)?)", line
                ):
                    if "[PATH]" in line or line.endswith("&"):
                        continue  # a list of commands, or the script of a hook
                    words = shlex.split(found[2], comments=True)
                    ends = [n for n, one in enumerate(words) if one in ("|", "||", ">")]
                    yield Example(
                        page.name,
                        found[1] or "",
                        tuple(words[: min(ends, default=None)]),
                    )
