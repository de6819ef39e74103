"""Prints requirements-slim.txt: what the default model needs, and no torch.

    python slim/requirements.py > requirements-slim.txt

It follows the requirements of codx-index as they are installed here, leaves out what `LEFT_OUT`
says, and takes the versions from constraints.txt. pip installs the result without looking at
dependencies, so each version must be pinned there.
"""

from __future__ import annotations

import sys
from configparser import ConfigParser
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parent.parent
# With all that nothing else requires.
LEFT_OUT = {
    "torch": "converts other models, and runs them on a GPU",
    "sentence-transformers": "the same",
    "huggingface-hub": "downloads other models",
    "openvino-telemetry": "nothing is reported to anybody",
    "tzdata": "no time zone is ever asked for",
    "pandas": "pymilvus and pyarrow do without it",
    "faiss-cpu": "Milvus Lite does without it where the index is FLAT",
}
# What a library imports without requiring it itself.
UNDECLARED = {"python-dateutil": "pymilvus, which has it by way of pandas"}
# Made without unneeded parts, in folders beside this file. No module may have the folder's name.
TRIMMED = {"openvino": "./slim/openvino-cpu", "pyarrow": "./slim/pyarrow-core"}
EXTRA = "mcp"

HEADING = """\
# What the default model needs, without torch: made by `make requirements-slim.txt` from constraints.txt.
# In a checkout: pip install --no-deps -r requirements-slim.txt && pip install --no-deps .
"""


def main() -> None:
    print(HEADING + "\n".join(lines()))


def lines() -> list[str]:
    """The lines of the file, sorted by name."""
    pins = read_pins()
    names = sorted(closure())
    if missing := [name for name in names if name not in pins]:
        found = [f"{name}=={metadata.version(name)}" for name in missing]
        sys.exit("\n".join(["constraints.txt lacks a version of:", *found]))
    return [TRIMMED.get(name, pins[name]) for name in names]


def read_pins() -> dict[str, str]:
    """The lines of constraints.txt by the names in them."""
    text = (ROOT / "constraints.txt").read_text()
    wanted = [line for line in text.splitlines() if line and not line.startswith("#")]
    return {canonicalize_name(Requirement(line).name): line for line in wanted}


def closure() -> set[str]:
    """The names of what codx-index requires, what that requires, and so on."""
    setup = ConfigParser()
    setup.read(ROOT / "setup.cfg")
    own = setup["options"]["install_requires"].splitlines()
    own += setup["options.extras_require"][EXTRA].splitlines()
    pending = [line for line in own if line and not line.startswith("#")]
    pending += UNDECLARED
    found: set[str] = set()
    seen: set[tuple[str, frozenset[str]]] = set()
    while pending:
        wanted = Requirement(pending.pop())
        name, extras = canonicalize_name(wanted.name), frozenset(wanted.extras)
        if name in LEFT_OUT or (name, extras) in seen:
            continue
        seen.add((name, extras))
        found.add(name)
        for line in metadata.requires(name) or []:
            marker = Requirement(line).marker
            if marker is None or any(
                marker.evaluate({"extra": extra}) for extra in extras or {""}
            ):
                pending.append(line)
    return found


if __name__ == "__main__":
    main()
