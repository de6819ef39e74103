"""The help of a command shows each of its options once, by what it is for."""

from __future__ import annotations

import re

import click
import pytest
from every_command import COMMANDS

from indexer.cli.main import cli
from indexer.settings.options import MOST_UNGROUPED, SettingOption
from indexer.settings.sections import FILES, SECTIONS

HEADING = re.compile(r"^(\S.*):$", re.M)


def help_of(name: str, width: int = 80) -> str:
    command = COMMANDS[name]
    # click keeps the first answer to what the option of the help is called.
    settings = {"info_name": name, "terminal_width": width, **cli.context_settings}
    with click.Context(command, **settings) as context:
        return command.get_help(context)


def shown_options(text: str) -> list[str]:
    """The longest name of each option, in the order of the help."""
    rows = re.findall(r"^  (-.*?)(?:  |$)", text, re.M)
    return [re.findall(r"--[\w-]+", row)[0] for row in rows]


@pytest.mark.parametrize("width", [40, 80, 200])
@pytest.mark.parametrize("name", COMMANDS)
def test_each_option_once(name: str, width: int) -> None:
    text = help_of(name, width)
    options = [one for one in COMMANDS[name].params if isinstance(one, click.Option)]
    expected = [max(one.opts, key=len) for one in options] + ["--help"]
    assert sorted(shown_options(text)) == sorted(expected)
    assert max(map(len, text.splitlines())) <= max(width, 78)


@pytest.mark.parametrize("name", COMMANDS)
def test_options_stand_below_their_headings(name: str) -> None:
    text = help_of(name)
    ours = [one for one in COMMANDS[name].params if isinstance(one, SettingOption)]
    parts = HEADING.split(text.partition("\nOptions:")[0])
    if len(ours) + 1 <= MOST_UNGROUPED:
        assert "\nOptions:\n" in text
        return
    found = dict(zip(parts[1::2], parts[2::2], strict=True))
    found.pop("  Exit codes", None)
    for option in ours:
        assert f"--{option.setting.option}" in found[option.setting.section]
    assert "--help" in found.pop("Help")
    headings = [one for one in found if one in SECTIONS]
    assert headings == [one for one in SECTIONS if one in headings]
    assert set(found) == set(headings)


@pytest.mark.parametrize("name", ["run", "run-all"])
def test_the_first_heading_is_what_is_indexed(name: str) -> None:
    first = HEADING.findall(help_of(name))[0]
    assert first == FILES


@pytest.mark.parametrize(
    ("given", "hint"),
    [
        ("serach", " Did you mean search?"),
        ("runall", " Did you mean run-all?"),
        ("x", ""),
    ],
)
def test_the_command_that_may_have_been_meant(given: str, hint: str) -> None:
    with pytest.raises(click.UsageError) as error:
        cli.main([given], standalone_mode=False)
    assert error.value.message == f"No such command '{given}'.{hint}"
