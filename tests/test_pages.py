"""The pages of docs/ that are made from the source, and the site that they are built into."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "pages"))

from made import MADE  # noqa: E402


@pytest.mark.parametrize("file", MADE, ids=lambda file: str(file.name))
def test_what_is_made_is_up_to_date(file: Path) -> None:
    made, there = MADE[file](), file.read_text(encoding="utf-8")
    assert made == there, "make pages"


def test_a_reader_of_the_site_asks_no_foreign_host() -> None:
    """Fonts, Mermaid and the forge's figures would come from elsewhere, as pictures could."""
    settings = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    assert "\n  font: false\n" in settings and "\nrepo_url:" not in settings
    for page in ROOT.glob("docs/**/*.md"):
        text = page.read_text(encoding="utf-8")
        assert not re.search(
            r"!\[[^\]]*\]\(https?:|(?<!`)<(img|script|link)\b|^```mermaid", text, re.M
        )
