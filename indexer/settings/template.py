"""The file that `codx-index init` writes: every setting with its default, as a comment."""

from __future__ import annotations

import json
from typing import Any

from indexer.settings.declarations import SETTINGS
from indexer.settings.kinds import Duration, Size
from indexer.settings.reach import Reach
from indexer.settings.sections import SECTIONS
from indexer.settings.setting import Form, Setting, Source

_HEADER = """\
# Settings of codx-index for this project. Options on the command line and environment
# variables (CODX_INDEX_MAX_FILE_SIZE for max-file-size) override them; `codx-index config
# show` lists the values in effect and where each comes from. They can also be given in
# pyproject.toml, below [tool.codx-index].
#
# Settings marked with (trust) run programs or reach outside the project. They take effect
# only with --trust or CODX_INDEX_TRUST=1, because a project may come from somebody else.
"""
_COLUMNS = (29, 35, 47)  # a remark begins at the first that the line leaves free


def template() -> str:
    """The text of the file."""
    # In TOML, what follows the heading of a table belongs to it: tables come last.
    parts: dict[str, list[str]] = {"": []}
    parts |= {section: [f"# {section}"] for section in SECTIONS}
    for setting in SETTINGS:
        if Source.FILE in setting.sources:
            if setting.form is Form.TABLE:
                rows = [
                    f"# {_quoted(k)} = {_quoted(v)}" for k, v in setting.example.items()
                ]
                parts[setting.name] = [f"[{setting.name}]", *rows]
                continue
            table, _, key = setting.name.rpartition(".")
            lines = parts.setdefault(table or setting.section, [f"[{table}]"])
            lines.append(_line(key, setting))
    shown = [lines for part, lines in parts.items() if lines[1:] or not part]
    return "\n".join([_HEADER, *("\n".join([*lines, ""]) for lines in shown)])


def _quoted(text: str) -> str:
    return json.dumps(text)


def _line(key: str, setting: Setting) -> str:
    line = f"# {key} = {_toml(setting)}"
    remark = " ".join(filter(None, (_mark(setting), setting.remark)))
    if not remark:
        return line
    return line.ljust(next(c for c in _COLUMNS if c > len(line))) + f"# {remark}"


def _mark(setting: Setting) -> str:
    if setting.reach is Reach.INSIDE:
        return ""
    harmless = setting.harmless.text.replace("`", "")
    return f"(trust, unless {harmless})" if harmless else "(trust)"


def _toml(setting: Setting) -> str:
    value: Any = setting.default if setting.example is None else setting.example
    if setting.example is None and isinstance(setting.kind, Size | Duration):
        value = setting.kind.text(value)
    if isinstance(value, float):
        return f"{value:g}"
    return json.dumps(value)  # of these values, TOML's notation is the same
