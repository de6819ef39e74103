from __future__ import annotations

import pytest

from indexer.languages import LANGUAGES, known_language, similar_languages
from indexer.text.kinds import Languages, kind_of

GIVEN: Languages = (
    (".inc", "php"),
    (".blade.php", "html"),
    ("Jenkinsfile.*", "groovy"),
    ("legacy/*.h", "cpp"),
    ("generated/", ""),
    (".v", "verilog"),
)


@pytest.mark.parametrize(
    ("path", "language"),
    [
        ("a.inc", "php"),
        ("src/A.INC", "php"),
        ("a.inc.txt", None),
        ("a.php", "php"),
        ("views/a.blade.php", "html"),
        ("ci/Jenkinsfile.release", "groovy"),
        ("legacy/a.h", "cpp"),
        ("src/a.h", "c"),
        ("generated/deep/a.py", None),
        ("/elsewhere/generated/a.py", None),
        ("a.py", "python"),
        ("odd\udcff.inc", "php"),
        ("inc", None),
    ],
)
def test_the_settings_count_before_the_name(path: str, language: str | None) -> None:
    assert kind_of(path, "", GIVEN) == language
    # The longest that fits decides, whatever their order.
    assert kind_of(path, "", GIVEN[::-1]) == language


def test_an_interpreter_counts_where_nothing_else_tells() -> None:
    assert kind_of("tool", "#!/bin/sh", GIVEN) == "bash"
    assert kind_of("generated/tool", "#!/bin/sh", GIVEN) is None
    assert kind_of("tool", "", (("tool", "python"),)) == "python"


def test_names_and_endings_mean_a_language() -> None:
    assert all(known_language(name) == name for name in LANGUAGES)
    assert [known_language(text) for text in ("py", ".PY", " Python ", "c++")] == [
        *("python", "python", "python", "cpp")
    ]
    assert known_language("klingon") is None and known_language("") is None
    assert similar_languages("pyhton", 1) == ["python"]
