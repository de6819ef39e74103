"""Every command of the command line, by its name."""

from __future__ import annotations

from collections.abc import Iterator

import click

from indexer.cli.main import cli


def commands(
    group: click.Group = cli, prefix: str = ""
) -> Iterator[tuple[str, click.Command]]:
    """Every command with its name, those of the groups in the group included."""
    for name in group.list_commands(click.Context(group)):
        command = group.get_command(click.Context(group), name)
        assert command
        if isinstance(command, click.Group):
            yield from commands(command, f"{name} ")
        else:
            yield prefix + name, command


COMMANDS = dict(commands())
