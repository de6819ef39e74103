"""What can be declared of a setting, and what follows from a declaration."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, fields
from enum import Enum, Flag, auto
from typing import Any

import click

from indexer.config import (
    Effect,
    MentionSettings,
    Settings,
    WikiSettings,
    effect_of,
)
from indexer.settings.reach import NONE, Harmless, Reach


class Form(Enum):
    """How an option stands on the command line."""

    VALUE = auto()  # --name VALUE
    LIST = auto()  # --name VALUE, repeatable
    TABLE = auto()  # --name KEY=VALUE, repeatable; in a file a table of its own
    FLAG = auto()  # --name
    SWITCH = auto()  # --name or --no-name
    COUNT = auto()  # --name, as often as one likes


class Source(Flag):
    """Where a setting may come from, besides codx-junior's file.

    An option on the command line counts more than its variable in the environment, which
    counts more than the project's files.
    """

    OPTION = auto()  # on the command line, and as a variable in the environment
    FILE = auto()  # codx-index.toml and [tool.codx-index] in pyproject.toml
    ANYWHERE = OPTION | FILE
    NOWHERE = 0


_UNSET: Any = object()
_EMPTY = {
    Form.VALUE: "",
    Form.LIST: (),
    Form.TABLE: (),
    Form.FLAG: False,
    Form.SWITCH: False,
    Form.COUNT: 0,
}
# The other forms have the kind that the declaration names.
_KINDS = {Form.FLAG: click.BOOL, Form.SWITCH: click.BOOL, Form.COUNT: click.INT}
_GROUPS: Mapping[str, type[Any]] = {
    "": Settings,
    "mentions": MentionSettings,
    "wiki": WikiSettings,
}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Setting:
    """The declaration of a setting.

    `name` is the key in the project's files; the option and its variable are named after it.
    `field` is the field of `Settings` that it becomes, with a dot for one of a group, or "".
    The field gives the default and the effect on the index, unless `fallback` gives a default.
    `default_text` describes a default that the value alone does not tell.

    `reach` says what the setting reaches, but for `harmless` values.

    `codx_junior` is the key in codx-junior's .codx/project.json, "" for none. `is_path` marks
    a path, which is relative to the project when it stands in one of its files. `is_request`
    marks what is asked of one run and is no setting of a project. It can be set in the
    environment too, unless `has_variable` is false. Values of the variable that are `not_ours`
    are for another command's option of the same name, and do not count.

    `section` is the heading in a command's help and in `init`'s template, where a table stands
    for itself. An option that may stand without a value means `bare` then, and a value follows a
    `=`: otherwise the next argument might be taken for it. `example` is the value shown there instead of the default, and `remark` the
    comment behind it.
    """

    name: str
    reach: Reach
    harmless: Harmless = NONE
    sources: Source = Source.ANYWHERE
    kind: click.ParamType[Any] = click.STRING
    form: Form = Form.VALUE
    help: str = ""
    field: str = ""
    fallback: Any = _UNSET
    default_text: str = ""
    also: tuple[str, ...] = ()
    metavar: str | None = None
    bare: str = ""
    codx_junior: str = ""
    is_path: bool = False
    is_request: bool = False
    has_variable: bool = True
    not_ours: tuple[str, ...] = ()
    section: str = ""
    example: Any = None
    remark: str = ""

    @property
    def option(self) -> str:
        """The name of the option, without the dashes before it."""
        return self.name.removesuffix(".enabled").replace(".", "-")

    @property
    def variable(self) -> str:
        """The variable in the environment."""
        return "CODX_INDEX_" + self.option.replace("-", "_").upper()

    def from_environment(self) -> str:
        """The text in the variable, "" if there is none, or none for this command."""
        text = os.environ.get(self.variable, "") if self.has_variable else ""
        return "" if text in self.not_ours else text

    @property
    def has_option(self) -> bool:
        """Whether it can be given on the command line and in the environment."""
        return Source.OPTION in self.sources

    @property
    def is_repeatable(self) -> bool:
        """Whether an option may be given several times, each time with another value."""
        return self.form in (Form.LIST, Form.TABLE)

    @property
    def is_argument(self) -> bool:
        """Whether a command's function receives it by name, and not among the `Values`."""
        return self.is_request and not self.field

    @property
    def default(self) -> Any:
        """The value that holds when nobody gives one."""
        if self.fallback is not _UNSET:
            return self.fallback
        return self._field.default if self.field else _EMPTY[self.form]

    @property
    def effect(self) -> Effect:
        """What a changed value does to an index that exists."""
        return effect_of(self._field) if self.field else Effect.NONE

    @property
    def _field(self) -> Any:
        group, _, name = self.field.rpartition(".")
        return next(one for one in fields(_GROUPS[group]) if one.name == name)

    def convert(self, value: Any) -> Any:
        """The value as its kind wants it. Raises `click.BadParameter`."""
        kind = _KINDS.get(self.form, self.kind)
        if kind is click.BOOL:
            value = str(value)  # click cannot read numbers as booleans
        if self.is_repeatable:
            return tuple(kind.convert(one, None, None) for one in value)
        return kind.convert(value, None, None)
