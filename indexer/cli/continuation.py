"""With which settings an update goes on where the last run ended."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace

from msgspec import Struct

from indexer.address import is_cluster
from indexer.config import SPARSE, Settings, rules_of, with_rules
from indexer.index.collection import agreed, place_of
from indexer.index.identity import identify
from indexer.index.manifest import DIRTY, read_values
from indexer.settings.assembly import make_settings
from indexer.settings.declarations import AROUND, PLACE, TREE, WORK
from indexer.settings.files import project_files
from indexer.settings.requests import TRUST
from indexer.settings.setting import Setting
from indexer.settings.values import Value, resolve

LEAST_SECONDS = 2.0  # for a small change, however long a busy machine took to find it
OTHER_SETTINGS = (
    "the settings have changed since the last run, and only codx-index run applies them"
)
OTHER_INDEX = "the index was built with other settings: codx-index run rebuilds it"
ASKS_A_PROGRAM = (
    "a program has to be asked about files before they are indexed, and only codx-index run "
    "asks it"
)

_SETTINGS = (TRUST, *PLACE, *TREE, *WORK, *AROUND)


class Continuation(Struct, frozen=True):
    """The `settings` of an update by words, and what to note of them, "" if nothing.

    A run in the background `goes_on` as well if it would have the same settings, and the index
    `has_vectors` unless it is one by words alone. The index `is_unfinished` while it is written,
    and after a run was killed.
    """

    settings: Settings
    note: str
    goes_on: bool
    has_vectors: bool
    is_unfinished: bool


def settings_of_run(project: Settings, given: Mapping[Setting, Value]) -> Settings:
    """The settings that a run of the project has, of whose options those `given` are known."""
    values = resolve(_SETTINGS, given, project_files(project.project))
    return make_settings(project.project, values)


def continue_last_run(
    project: Settings, given: Mapping[Setting, Value]
) -> Continuation | str:
    """How an update goes on where the last run ended, or why it may not, "" if a search says it."""
    settings = settings_of_run(project, given)
    place, rules, state, fingerprint = read_values(
        settings.manifest_path, "place", "rules", "state", "fingerprint"
    )
    if place != place_of(settings):
        return ""
    if fingerprint not in ("", identify(agreed(settings)).fingerprint):
        return OTHER_INDEX
    own = json.loads(json.dumps(rules_of(settings)))
    known = json.loads(rules) if rules else own
    mode = known.setdefault("mode", settings.mode)
    # An index by words alone may be meant to stay one, whatever the settings are.
    is_other = {**own, "mode": mode} != known
    if is_other:
        settings = with_rules(settings, known)
    if settings.mentions.command or settings.wiki.command:
        return ASKS_A_PROGRAM
    return Continuation(
        replace(
            settings,
            leaves_vectors=True,
            least_seconds=LEAST_SECONDS,
            executor="process" if is_cluster(settings.executor) else settings.executor,
            wait=0,
            asks_once=project.asks_once,
            only=None,
        ),
        OTHER_SETTINGS if is_other else "",
        goes_on=own == known,
        has_vectors=mode != SPARSE,
        is_unfinished=state == DIRTY or not rules,
    )
