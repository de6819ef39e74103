"""What the value of a setting may look like: sizes, times, commands."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from indexer.address import CLUSTERS, is_cluster
from indexer.config import EXECUTORS

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

PLAIN_TEXT = "text"  # in place of a language

PATH = click.Path(readable=False)
"""A path. `project_folder` and whoever opens a file say what is wrong with one."""


class Folder(click.Path):
    """A path that a shell completes with folders alone. It is not checked, as `PATH` is not."""

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        from click.shell_completion import CompletionItem

        return [CompletionItem(incomplete, type="dir")]


FOLDER = Folder(readable=False)
PATHS = (PATH, FOLDER)


class Pattern(click.ParamType[str]):
    """A text that looks like a path, or begins like one, so that a shell completes it as one."""

    name = "text"

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        from click.shell_completion import CompletionItem

        return [CompletionItem(incomplete, type="file")]


class LanguageName(click.ParamType[str]):
    """The name of a language, or an ending. `search.scope` says which are known."""

    name = "text"

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """Complete the names alone: whoever types an ending needs no help."""
        from click.shell_completion import CompletionItem

        from indexer.languages import FILES

        start = incomplete.lower()
        return [CompletionItem(one) for one in FILES if one.startswith(start)]


class Size(click.ParamType[int]):
    """A number of bytes, with an optional unit: 500k, 2MiB."""

    name = "size"
    _units = {"": 1, "k": 1024, "m": 1024**2, "g": 1024**3}

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> int:
        if isinstance(value, int):
            return value
        number = str(value).lower().removesuffix("b").removesuffix("i")
        unit = number[-1:] if number[-1:].isalpha() else ""
        try:
            size = int(float(number.removesuffix(unit)) * self._units[unit])
        except (KeyError, ValueError, OverflowError):
            size = -1
        if size < 0:
            self.fail(f"{value!r} is not a size like 500k or 2MiB", param, ctx)
        return size

    def text(self, size: int) -> str:
        """The size as a person would write it: 2MiB."""
        for unit, factor in reversed(self._units.items()):
            if size and size % factor == 0:
                return f"{size // factor}{unit.upper()}{'iB' if unit else ''}"
        return "0"


class Duration(click.ParamType[float]):
    """Seconds, or a number with a unit: 90, 30s, 10m, 1h, 2d."""

    name = "duration"
    _units = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        text = str(value).strip().lower()
        unit = text[-1:] if text[-1:].isalpha() else ""
        try:
            seconds = float(text.removesuffix(unit)) * self._units[unit]
        except (KeyError, ValueError):
            seconds = -1
        if not 0 <= seconds < float("inf"):
            self.fail(
                f"{value!r} is not a time like 90, 30s, 10m, 1h or 2d", param, ctx
            )
        return seconds

    def text(self, seconds: float) -> str:
        """The time as a person would write it: 5m."""
        for unit, factor in reversed(self._units.items()):
            if unit and seconds and seconds % factor == 0:
                return f"{seconds / factor:g}{unit}"
        return f"{seconds:g}s"


class LanguageOfFiles(click.ParamType[tuple[str, str]]):
    """An ending (`.inc`) or a pattern of paths, and the language of such files: `.inc=php`."""

    name = "ending=language"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, str]:
        from indexer.languages import known_language, similar_languages

        if not isinstance(value, str):
            return tuple(value)
        pattern, equals, given = (part.strip() for part in value.rpartition("="))
        if not equals:
            self.fail(f"{value!r} does not have the form .inc=php", param, ctx)
        if not pattern.strip("/.") or pattern.startswith(("!", "#")):
            self.fail(
                f"{pattern!r} is neither an ending like .inc nor a pattern of paths",
                param,
                ctx,
            )
        if given.lower() == PLAIN_TEXT:
            return pattern, ""
        language = known_language(given)
        if language is None:
            near = similar_languages(given, 1)
            hint = (
                f": did you mean {near[0]}?" if near else f" ({PLAIN_TEXT} means none)"
            )
            self.fail(f"{pattern}: unknown language {given!r}{hint}", param, ctx)
        return pattern, language

    @staticmethod
    def text(value: tuple[str, str]) -> str:
        """The pair as a person would write it."""
        return "=".join((value[0], value[1] or PLAIN_TEXT))


class CommandLine(click.ParamType[tuple[str, ...]]):
    """A program and its arguments, split as a shell would split them. No shell runs it."""

    name = "command"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, ...]:
        import shlex

        if not isinstance(value, str):
            return tuple(value)
        try:
            return tuple(shlex.split(value))
        except ValueError as error:
            # What is given may have a password in it.
            self.fail(f"it is not a command: {error}", param, ctx)


class WhereToWork(click.ParamType[str]):
    """One of `config.EXECUTORS`, or a Dask cluster."""

    name = "executor"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> str:
        text = str(value)
        if text not in EXECUTORS and not is_cluster(text):
            self.fail(
                f"{value!r} is not one of {', '.join(EXECUTORS)}, nor a Dask cluster: {CLUSTERS}",
                param,
                ctx,
            )
        return text

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """Complete those that have a name."""
        from click.shell_completion import CompletionItem

        return [CompletionItem(one) for one in EXECUTORS if one.startswith(incomplete)]
