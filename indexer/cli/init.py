"""`codx-index init`."""

from __future__ import annotations

import os

import click

from indexer.cli.boundary import reporting
from indexer.cli.texts import confirm, shown
from indexer.config import project_folder
from indexer.errors import UsageError
from indexer.report import Report
from indexer.settings.options import folder_argument, options
from indexer.settings.requests import OVERWRITE


@click.command()
@folder_argument
@options(OVERWRITE)
def init(path: str, force: bool) -> int:
    """Write a codx-index.toml to PATH, with every setting commented out."""
    with reporting(Report(), False, 0):
        from indexer.settings.files import OWN_FILE
        from indexer.settings.template import template

        name = os.path.join(project_folder(path or "."), OWN_FILE)
        try:
            with open(name, "w" if force else "x", encoding="utf-8") as file:
                file.write(template())
                os.fchmod(file.fileno(), 0o644)  # it holds no secrets
        except FileExistsError:
            raise UsageError(f"{name} already exists (--force overwrites it)") from None
        except OSError as error:
            raise UsageError(f"cannot write {name}: {error.strerror}") from error
        confirm(f"wrote {shown(name)}")
    return 0
