"""What a person does first with an installed codx-index, and what must come of it."""

from __future__ import annotations

import os
import subprocess
import tempfile
from pathlib import Path

SOURCES = {
    "shop/cart.py": '"""The cart of a customer."""\n\n\ndef total_price(items):\n'
    '    """The sum of what is in the cart."""\n    return sum(item.price for item in items)\n',
    "README.md": "# A shop\n\nCustomers fill carts, and pay for what is in them.\n",
}
# The arguments, the exit code, and what is said on stdout.
STEPS = (
    (("--version",), 0, "codx-index, version "),
    (("run",), 0, "2 added"),
    (("run",), 0, "unchanged"),
    (("status", "--check"), 0, "up to date"),
    (("search", "what the customer has to pay", "-k", "1"), 0, "shop/cart.py"),
    (("verify",), 0, ""),
    (("config", "show"), 0, "precision"),
    (("cache", "info"), 0, ""),
    (("completion", "bash"), 0, "complete -o nosort"),
    (("init",), 0, "wrote "),
    (("clear", "--yes"), 0, ""),
    (("search", "what the customer has to pay"), 1, ""),
)


class Failed(Exception):
    """A step did not do what it should; the text says which."""


def walk(command: str, cache: str) -> None:
    """Take each step with the command in a new project. Raises `Failed`.

    `cache` is the folder of the embedding cache, which keeps the converted model.
    """
    with tempfile.TemporaryDirectory() as name:
        for path, text in SOURCES.items():
            file = Path(name, path)
            file.parent.mkdir(exist_ok=True)
            file.write_text(text)
        subprocess.run(["git", "init", "--quiet", name], check=True)
        for arguments, code, said in STEPS:
            done = subprocess.run(
                [command, *arguments],
                cwd=name,
                env={**clean_environment(), "CODX_INDEX_CACHE_DIR": cache},
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
            )
            if done.returncode != code or said not in done.stdout:
                raise Failed(
                    f"codx-index {' '.join(arguments)} ended with {done.returncode}:\n"
                    f"{done.stdout}{done.stderr}"
                )


def clean_environment() -> dict[str, str]:
    """The environment without what names other modules, or sets codx-index."""
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("PYTHON", "CODX_INDEX_"))
    }
