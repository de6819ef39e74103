"""How a shell asks for completions: click's way, and values that are joined to their option."""

from __future__ import annotations

from click.shell_completion import (
    BashComplete,
    CompletionItem,
    FishComplete,
    ShellComplete,
    ZshComplete,
    add_completion_class,
)


def register() -> None:
    """Let click use the classes of this module."""
    for one in (Bash, Zsh, Fish):
        add_completion_class(one)


class Bash(BashComplete):
    """bash makes three words of `--mode=sparse`, of which click takes the second for a value."""

    def get_completion_args(self) -> tuple[list[str], str]:
        args, incomplete = super().get_completion_args()
        return [one for one in args if one != "="], incomplete.removeprefix("=")


class _JoinedValues(ShellComplete):
    """Other shells keep `--mode=sparse` as one word, and put what click answers in its place."""

    def get_completions(self, args: list[str], incomplete: str) -> list[CompletionItem]:
        option, equals, value = incomplete.partition("=")
        if not equals or not option.startswith("--"):
            return super().get_completions(args, incomplete)
        found = super().get_completions([*args, option], value)
        return [CompletionItem(f"{option}={one.value}", one.type) for one in found]


class Zsh(_JoinedValues, ZshComplete):
    """zsh."""


class Fish(_JoinedValues, FishComplete):
    """fish."""
