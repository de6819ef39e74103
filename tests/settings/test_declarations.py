"""Every setting is declared once, and what follows from the declarations agrees with them."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import click
import pytest
from every_command import COMMANDS

from indexer.config import (
    MentionSettings,
    Settings,
    WikiSettings,
    recheck_basis,
)
from indexer.errors import UsageError
from indexer.settings import declarations, requests
from indexer.settings.assembly import make_settings
from indexer.settings.declarations import (
    CACHE_SIZE,
    IGNORE,
    JOBS,
    SETTINGS,
    TOKEN,
)
from indexer.settings.files import ProjectFiles
from indexer.settings.kinds import PATH, CommandLine, Duration, Size
from indexer.settings.options import SettingOption
from indexer.settings.reach import Reach, Situation
from indexer.settings.requests import TRUST
from indexer.settings.sections import SECTIONS
from indexer.settings.setting import Setting, Source
from indexer.settings.values import Origin, option_values, resolve

REQUESTS = [one for one in vars(requests).values() if isinstance(one, Setting)]
# What a command computes, or what stands in the project's files alone.
COMPUTED = {
    *("project", "model_from", "name", "origin", "own_files", "only"),
    *("leaves_vectors", "least_seconds", "asks_once"),
}


def declared_by(command: click.Command) -> list[Setting]:
    return [one.setting for one in command.params if isinstance(one, SettingOption)]


def test_every_declaration_is_in_the_list() -> None:
    named = {one for one in vars(declarations).values() if isinstance(one, Setting)}
    assert named <= set(SETTINGS)
    assert len({one.name for one in SETTINGS}) == len(SETTINGS)
    assert len({one.option for one in SETTINGS}) == len(SETTINGS)
    for setting in SETTINGS:
        assert (setting.section in SECTIONS) == setting.has_option, setting.name
    assert all(one.section in SECTIONS for one in REQUESTS)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_is_declared(name: str) -> None:
    found = [one for one in COMMANDS[name].params if isinstance(one, click.Option)]
    assert all(isinstance(one, SettingOption) for one in found)
    declared = declared_by(COMMANDS[name])
    assert set(declared) <= {*SETTINGS, *REQUESTS}
    assert all(one.has_option and one.help for one in declared)


def test_every_option_of_a_declaration_is_some_commands() -> None:
    found = {one for command in COMMANDS.values() for one in declared_by(command)}
    assert {one for one in (*SETTINGS, *REQUESTS) if one.has_option} == found


def test_a_run_has_every_setting() -> None:
    run = [one for one in declared_by(COMMANDS["run"]) if not one.is_request]
    assert run == [one for one in SETTINGS if one.has_option]


def test_every_setting_of_a_file_has_a_class_of_trust() -> None:
    """Anyone who adds a setting says here as well what a stranger could do with it."""
    classes: dict[str, set[str]] = {}
    for setting in SETTINGS:
        if Source.FILE in setting.sources or setting.codx_junior:
            classes.setdefault(setting.reach.words, set()).add(setting.name)
            names_a_place = setting.is_path or setting.kind is PATH
            if names_a_place or isinstance(setting.kind, CommandLine):
                assert setting.reach is not Reach.INSIDE
    assert classes == {
        "programs": {"mentions.command", "wiki.command"},
        "network": {"webhook"},
        "network, folders": {"model", "seed", "uri"},
        "network, resources": {"executor"},
        "folders": {
            *("events", "external-folders", "metrics"),
            *("project_path", "wiki.path"),
        },
        "folders, cache": {"cache-dir"},
        "collections": {"collection", "project", "shared-collection"},
        "cache": {"cache-size"},
        "secrets": {"git", "include-secrets", "secrets"},
        "resources": {
            *("jobs", "max-file-size", "task-timeout", "wait"),
            *("mentions.concurrency", "mentions.timeout"),
            *("model-concurrency", "wiki.concurrency", "wiki.timeout"),
        },
        # About the index of this project alone: what belongs to it, and when.
        "": {
            *("by-words", "changed-within", "default-excludes", "embed"),
            *("ignore", "ignore-containing"),
            *(
                "log-format",
                "max-seconds",
                "mentions.enabled",
                "mode",
                "model-max-tokens",
                "model-revision",
                "name",
                "precision",
            ),
            *(
                "languages",
                "recurse-submodules",
                "settle",
                "sparse-first",
                "use_knowledge",
            ),
            *("watching", "wiki.enabled"),
        },
    }
    assert TOKEN.sources == Source.OPTION


def test_a_default_needs_no_trust() -> None:
    for setting in SETTINGS:
        if setting.reach and setting.harmless.text and setting.default is not None:
            situation = Situation("/p", "")
            assert setting.harmless.holds(setting.default, situation), setting.name


def test_every_reach_has_a_reason() -> None:
    for reach in Reach:
        assert reach.reason and reach.words
    assert (Reach.INSIDE.reason, Reach.INSIDE.words) == ("", "")


def test_every_field_of_the_settings_is_declared() -> None:
    declared = {one.field for one in (*SETTINGS, *REQUESTS) if one.field}
    groups = {"mentions": MentionSettings, "wiki": WikiSettings}
    expected = {one.name for one in fields(Settings)} - COMPUTED - set(groups)
    for group, kind in groups.items():
        expected |= {f"{group}.{one.name}" for one in fields(kind)}
    assert declared - {"name"} == expected


def test_the_defaults_of_a_command_are_those_of_the_settings(tmp_path: Path) -> None:
    folder = str(tmp_path)
    run = declared_by(COMMANDS["run"])
    made = make_settings(folder, resolve(run, {}, ProjectFiles(folder)))
    assert made == Settings(
        project=made.project, cache_dir=made.cache_dir, model=made.model
    )


def test_what_has_every_file_looked_at_again_is_in_the_basis() -> None:
    settings = Settings(
        "/p", "/c", "m", ignore=("a",), wiki=WikiSettings(command=("w",))
    )
    assert recheck_basis(settings) == {
        "project": "/p",
        "max_file_size": 1 << 20,
        "uses_git": True,
        "recurse_submodules": True,
        "default_excludes": True,
        "include_secrets": False,
        "name": "",
        "ignore": ["a"],
        "ignore_containing": [],
        "external_folders": [],
        "embed": "meaning",
        "by_words": [],
        "mentions": {"enabled": True},
        "wiki": {"enabled": False, "folder": "", "command": ["w"]},
    }


def test_values_come_from_the_first_place_that_has_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    files = ProjectFiles("/p")
    given = option_values({JOBS: 3})
    monkeypatch.setenv("CODX_INDEX_JOBS", "2")
    monkeypatch.setenv("CODX_INDEX_IGNORE", "a b")
    values = resolve((TRUST, JOBS, IGNORE, CACHE_SIZE), given, files)
    assert values[JOBS] == 3 and values.given.keys() == {JOBS}
    assert values[IGNORE] == ("a", "b")
    assert values.found[IGNORE].place == "CODX_INDEX_IGNORE"
    assert values.found[CACHE_SIZE].origin is Origin.DEFAULT
    assert resolve((TRUST, JOBS), {}, files)[JOBS] == 2
    monkeypatch.setenv("CODX_INDEX_JOBS", "many")
    wrong = "Invalid value for '--jobs' / '-j' (env var: 'CODX_INDEX_JOBS'): 'many'"
    with pytest.raises(UsageError, match=re.escape(wrong)):
        resolve((TRUST, JOBS), {}, files)


@pytest.mark.parametrize("size", ["0", "1K", "3MiB", "2GiB", "1025"])
def test_a_size_is_written_as_it_is_read(size: str) -> None:
    read = Size().convert(size, None, None)
    assert Size().convert(Size().text(read), None, None) == read


@pytest.mark.parametrize("time", ["0s", "90s", "5m", "2d", "1w", "0.5s"])
def test_a_time_is_written_as_it_is_read(time: str) -> None:
    read = Duration().convert(time, None, None)
    assert Duration().text(read) == time
