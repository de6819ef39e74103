"""What a project could reach with a setting in one of its files, and which values reach nothing."""

from __future__ import annotations

import os
from collections.abc import Callable, Container
from enum import Flag, auto
from typing import Any

from msgspec import Struct

from indexer.address import OPENAI


class Reach(Flag):
    """What a setting can do to whoever runs a project that may be somebody else's.

    A setting that reaches anything is followed with --trust only.
    """

    INSIDE = 0  # harmless: it is about this project's index alone
    PROGRAMS = auto()
    NETWORK = auto()
    FOLDERS = auto()
    COLLECTIONS = auto()
    CACHE = auto()
    SECRETS = auto()
    RESOURCES = auto()

    @property
    def words(self) -> str:
        """The names of what is reached."""
        return ", ".join(str(one.name).lower() for one in self)

    @property
    def reason(self) -> str:
        """Why that needs trust, as the end of a sentence about the setting."""
        return " and ".join(_REASONS[one] for one in self)


_REASONS = {
    Reach.PROGRAMS: "runs a program",
    Reach.NETWORK: "sends data elsewhere",
    Reach.FOLDERS: "reads or writes outside the project",
    Reach.COLLECTIONS: "can replace the index of another project",
    Reach.CACHE: "changes the cache that all projects share",
    Reach.SECRETS: "stores what should stay out of an index",
    Reach.RESOURCES: "can use more of this machine than a run should",
}


class Situation(Struct, frozen=True):
    """Where a value would count: in the project in `folder`, whose `uri` is "" for a database of
    its own."""

    folder: str
    uri: str


class Harmless(Struct, frozen=True):
    """The values of a setting that reach nothing, and how a person would call them."""

    holds: Callable[[Any, Situation], bool]
    text: str


NONE = Harmless(lambda value, situation: False, "")


def among(values: Container[Any], text: str) -> Harmless:
    """These values are harmless."""
    return Harmless(lambda value, situation: value in values, text)


def up_to(most: float, text: str, *, least: float = 0) -> Harmless:
    """Values between these are harmless."""
    return Harmless(lambda value, situation: least <= value <= most, text)


def _leads_inside(value: Any, situation: Situation) -> bool:
    root = os.path.realpath(situation.folder)
    path = os.path.realpath(os.path.join(root, os.path.expanduser(str(value))))
    below = path[len(root) :].split(os.sep)
    is_inside = path == root or path.startswith(os.path.join(root, ""))
    # What stands in git's own folder configures git.
    return is_inside and ".git" not in (name.casefold() for name in below)


def _is_name_or_inside(value: Any, situation: Situation) -> bool:
    """As `resolve_model` tells a name from a folder, which is relative to the current one.

    An endpoint is neither.
    """
    text = str(value)
    if text.startswith(f"{OPENAI}+"):
        return False
    is_path = os.path.isabs(text) or text.startswith(("./", "../", "~"))
    if not (is_path or text in (".", "..")):
        return True
    return _leads_inside(os.path.abspath(os.path.expanduser(text)), situation)


IN_PROJECT = Harmless(_leads_inside, "in the project")
NAME_OR_IN_PROJECT = Harmless(_is_name_or_inside, "a name or in the project")
IN_OWN_DATABASE = Harmless(
    lambda value, situation: not situation.uri, "in the project's own database"
)
USUAL_JOBS = Harmless(
    lambda value, situation: value <= (os.cpu_count() or 1), "at most the CPUs"
)
