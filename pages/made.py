"""Writes the pages and drawings of docs/ that follow from the source: `make pages`."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import command_page
import drawings
import report_page
import settings_tables

DOCS = Path(__file__).parents[1] / "docs"
SETTINGS = DOCS / "reference" / "settings.md"
DESIGN = DOCS / "design" / "overview.md"

MADE: dict[Path, Callable[[], str]] = {
    DOCS / "reference" / "commands.md": command_page.page,
    DOCS / "reference" / "report.md": report_page.page,
    SETTINGS: lambda: settings_tables.with_tables(SETTINGS.read_text("utf-8")),
    DOCS / "drawings" / "run.svg": drawings.run,
    DOCS / "drawings" / "writing.svg": drawings.writing,
    DOCS / "drawings" / "rooms.svg": lambda: drawings.rooms(drawings.rooms_of(DESIGN)),
}
"""What is made, by its file."""


def main() -> int:
    """Write each file that is not as it should be, and name it."""
    for file, make in MADE.items():
        text = make()
        if not file.exists() or file.read_text("utf-8") != text:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, "utf-8")
            print(file.relative_to(DOCS.parent))
    return 0


if __name__ == "__main__":
    sys.exit(main())
