"""The error boundary: whatever ends a command becomes its report, a line and an exit code."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import click

from indexer.address import without_passwords
from indexer.cli.log import log
from indexer.cli.texts import print_json, without_controls
from indexer.cli.variables import unknown_variables
from indexer.config import Settings
from indexer.environment import set_for_libraries
from indexer.errors import CodxIndexError, Stopped, explained
from indexer.report import Report

_BLAS_THREADS = {"OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"}


class Ended(Exception):
    """A command cannot continue; its report says why."""


@contextmanager
def reporting(
    report: Report, as_json: bool, verbose: int, log_format: str = "text"
) -> Iterator[None]:
    """Open the log for a command, and exit the process if an error ends the block.

    The error goes to stderr as a line, and with `as_json` to stdout as the report. A block
    that ends by itself has to print its result itself.
    """
    log.open(log_format, verbose)
    _warn_of_variables()
    _limit_threads()
    try:
        with recorded(report):
            yield
        return
    except Ended:
        pass
    except BrokenPipeError:
        # `codx-index search … | head` has all it wanted; click would exit with 1.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        sys.exit(128 + signal.SIGPIPE)
    if as_json:
        print_json(report.as_dict())
    log.error(report.error)
    sys.exit(report.exit_code)


def _warn_of_variables() -> None:
    """Warn of unknown variables, once a command and unless it is to be quiet."""
    context = click.get_current_context(silent=True)
    if context is None or context.params.get("quiet"):
        return
    if not context.meta.setdefault("indexer.variables", False):
        context.meta["indexer.variables"] = True
        for message in unknown_variables():
            log.warn(message)


def _limit_threads() -> None:
    """Have numpy start no threads, one a processor, unless this process is to stay.

    They are a sixth of the CPU time of a small run, and multiply matrices that we do not have.
    """
    context = click.get_current_context(silent=True)
    stays = context is None or context.info_name == "mcp"
    if not stays and _BLAS_THREADS.isdisjoint(os.environ):
        set_for_libraries("OPENBLAS_NUM_THREADS", "1")


@contextmanager
def recorded(report: Report) -> Iterator[None]:
    """Record in the report what ends the block, and raise `Ended` in its place.

    Errors of click and a broken pipe pass through: they are not the result of the command.
    """
    import traceback

    try:
        yield
        return
    except CodxIndexError as error:
        report.status, report.error_code = error.status, error.exit_code
        report.error = without_passwords(str(error))
    except Stopped as stopped:
        report.status, report.signal = "interrupted", stopped.number
        name = signal.Signals(stopped.number).name
        report.error = f"stopped by {name} before anything was changed"
    except (click.ClickException, click.Abort, BrokenPipeError, Ended):
        raise
    except Exception as error:
        known = explained(error) if isinstance(error, OSError) else None
        report.status, report.error_code = "failed", known.exit_code if known else 1
        about = without_passwords(str(error))
        report.error = str(known or f"unexpected {type(error).__name__}: {about}")
        if not known and not log.verbosity:
            report.error += " (--verbose shows where)"
    if log.verbosity:
        text = without_controls(without_passwords(traceback.format_exc()))
        click.echo(text, err=True, nl=False)
    raise Ended


def locate(report: Report, settings: Settings) -> None:
    """Record in the report which index it is about."""
    report.project = settings.subject
    report.collection = settings.collection_name
    report.uri = settings.address
