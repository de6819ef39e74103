"""Every command of the command line, by its name, as the page of the commands has them."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "pages"))

from command_page import COMMANDS  # noqa: E402

__all__ = ["COMMANDS"]
