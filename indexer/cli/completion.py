"""`codx-index completion`."""

from __future__ import annotations

import click

from indexer.cli.boundary import reporting
from indexer.cli.main import COMPLETION, PROGRAM
from indexer.report import Report

SHELLS = ("bash", "zsh", "fish")


@click.command()
@click.argument("shell", type=click.Choice(SHELLS), metavar="SHELL")
def completion(shell: str) -> int:
    """Print a script that lets SHELL complete commands, options and their values.

    \b
    A shell reads it at its start from:
      bash  ~/.local/share/bash-completion/completions/codx-index
      zsh   _codx-index in a folder of $fpath
      fish  ~/.config/fish/completions/codx-index.fish

    The script asks codx-index each time, so it stays right when codx-index is upgraded.
    """
    with reporting(Report(), False, 0):
        from click.shell_completion import get_completion_class

        root = click.get_current_context().find_root().command
        writer = get_completion_class(shell)
        assert writer is not None  # click has one for each of them
        click.echo(writer(root, {}, PROGRAM, COMPLETION).source(), nl=False)
    return 0
