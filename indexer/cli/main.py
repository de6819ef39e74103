"""The entry point `codx-index`: finds the command that was asked for, and exits."""

from __future__ import annotations

import atexit
import os
import re
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from importlib import import_module

import click

from indexer import __version__
from indexer.address import MASK, public_part, without_passwords, without_secrets
from indexer.cli.streams import prepare
from indexer.cli.texts import printable
from indexer.environment import claim_process
from indexer.errors import CodxIndexError, explained

COMMANDS: dict[str, tuple[str, str]] = {
    "cache": (
        "cache:cache_group",
        "Look after the embedding cache, which all projects share.",
    ),
    "clear": (
        "clear:clear",
        "Remove the index of the project around PATH: its collection and its state.",
    ),
    "completion": (
        "completion:completion",
        "Print a script that lets SHELL complete commands, options and their values.",
    ),
    "config": (
        "config:config_group",
        "Look at the settings of a project.",
    ),
    "hooks": (
        "hooks:hooks_group",
        "Let git's hooks keep the index of a project up to date.",
    ),
    "init": (
        "init:init",
        "Write a codx-index.toml with every setting, commented out, to the folder PATH.",
    ),
    "install": (
        "install:install",
        "Tell CLIENTS, such as claude or cursor, to start `codx-index mcp`, and give them a skill.",
    ),
    "mcp": (
        "mcp:mcp",
        "Serve the indexes of the projects in the PATHS to agents: MCP on stdin, or over HTTP.",
    ),
    "run": (
        "run:run",
        "Make the index of the project around PATH equal to its files.",
    ),
    "run-all": (
        "run_all:run_all",
        "Run for each watched project at or below the ROOTS.",
    ),
    "search": (
        "search:search",
        "Find the files of the projects in the PATHS that answer QUERY.",
    ),
    "status": (
        "status:status",
        "Say what a run would do, how big the index is, and which model it uses.",
    ),
    "uninstall": (
        "uninstall:uninstall",
        "Take back what `codx-index install` told CLIENTS, and nothing else.",
    ),
    "verify": (
        "verify:verify",
        "Compare every row of the collection with its file as it is now.",
    ),
    "worker": (
        "worker:worker",
        "Chunk and embed for the runs that use the Dask cluster at ADDR, until a signal ends it.",
    ),
}
"""For each command, the module in this package with the click command's name in it, and the first
sentence of its help."""


PROGRAM = "codx-index"
COMPLETION = "_CODX_INDEX_COMPLETE"  # by which a shell asks click for completions


class LazyGroup(click.Group):
    """A group that imports a command only when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names of all commands, in the order in which the help lists them."""
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command with this name, or None if there is none."""
        if cmd_name not in COMMANDS:
            return None
        module, _, name = COMMANDS[cmd_name][0].partition(":")
        found = getattr(import_module(f"indexer.cli.{module}"), name)
        assert isinstance(found, click.Command)
        return found

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command that is asked for. Raises `click.UsageError` with the most similar one."""
        name = args[0]
        is_option = name.startswith("-")
        if name not in COMMANDS and not is_option and not ctx.resilient_parsing:
            from difflib import get_close_matches

            near = get_close_matches(name, COMMANDS, 1)
            hint = f" Did you mean {near[0]}?" if near else ""
            ctx.fail(f"No such command {name!r}.{hint}")
        return super().resolve_command(ctx, args)

    def format_commands(
        self, ctx: click.Context, formatter: click.HelpFormatter
    ) -> None:
        """List the commands as click does, but without importing them."""
        limit = formatter.width - 6 - max(map(len, COMMANDS))
        with formatter.section("Commands"):
            formatter.write_dl(
                [
                    (name, click.Command(name, help=about).get_short_help_str(limit))
                    for name, (_, about) in sorted(COMMANDS.items())
                ]
            )


@click.group(
    cls=LazyGroup,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Every option can also be set in the environment, as shown in its help, and most "
    "in a file of the project: see codx-index init.",
)
@click.version_option(__version__, "-V", "--version", prog_name=PROGRAM)
@click.pass_context
def cli(context: click.Context) -> None:
    """Make a Milvus collection equal to a source tree, and search it."""
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


def main() -> None:
    """Entry point of the console script, of `python -m indexer` and of `cli.py`."""
    output = prepare()
    claim_process()
    os.umask(0o077)  # the index holds the project's source
    _hide_secrets()
    ended: list[int] = []
    atexit.register(_skip_teardown, ended)
    try:
        code = exit_code(sys.argv[1:])
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    ended.append(output.conclude(code, _print_error))
    sys.exit(ended[0])


def exit_code(arguments: list[str]) -> int:
    """Run the command line `arguments`. Returns its exit code, or raises `SystemExit` with it.

    What concerns the whole process is left to `main`, so a process can call this any number
    of times. The errors caught here are those that come before a command has a report;
    `boundary.reporting` handles the rest.
    """
    asked = os.environ.get(COMPLETION, "")
    if asked and not re.fullmatch("(bash|fish|zsh)_(source|complete)", asked):
        _print_error(f"{COMPLETION} is not a value such as bash_source: unset it")
        return 2
    if asked:
        from indexer.cli.shells import register

        register()
    try:
        code = cli.main(arguments, prog_name=PROGRAM, standalone_mode=False)
    except click.UsageError as error:
        where = error.ctx.command_path if error.ctx else "codx-index"
        message = error.format_message().rstrip(".")
        _print_error(f"{message} (see {where} --help)")
        return 2
    except click.ClickException as error:
        _print_error(error.format_message())
        return error.exit_code
    except CodxIndexError as error:  # in a file of the project
        _print_error(str(error))
        return error.exit_code
    except OSError as error:
        known = explained(error)
        about = without_passwords(str(error))
        _print_error(str(known or f"unexpected {type(error).__name__}: {about}"))
        return known.exit_code if known else 1
    except (click.Abort, KeyboardInterrupt):  # also the end of input at a question
        click.echo(err=True)
        return 128 + signal.SIGINT
    return code if isinstance(code, int) else 0


def _print_error(message: str) -> None:
    message = printable(without_passwords(re.sub(r"\n\t?", " ", message)))
    click.echo(f"codx-index: {message}", err=True)


_SECRETS: dict[str, Callable[[str], str]] = {
    "--token": lambda token: MASK,
    "--uri": without_secrets,
    "--webhook": public_part,
}


def _hide_secrets() -> None:
    """Keep a token, and passwords in addresses, out of the list of processes."""
    shown = []
    for before, value in zip(["", *sys.argv], sys.argv):
        name, equals, given = value.partition("=")
        if equals and name in _SECRETS:
            value = f"{name}={_SECRETS[name](given)}"
        elif before in _SECRETS:
            value = _SECRETS[before](value)
        shown.append(value)
    if shown != sys.argv:
        from setproctitle import setproctitle

        setproctitle(" ".join(shown))


def _skip_teardown(ended: list[int]) -> None:
    """End the process at once, as the last exit handler.

    Unloading Milvus and the model takes 0.3 s, and the operating system does it anyway.
    """
    if ended:
        with suppress(OSError, ValueError):
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(ended[0])
