"""`codx-index run-all` on a Dask cluster: what its hosts are told, and what they are not."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from contextlib import closing
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from indexer.address import Address, is_local, is_private_cluster
from indexer.cli.bars import Bars
from indexer.cli.project_run import errand_for, run_errand
from indexer.cli.run import RUN_OPTIONS
from indexer.cli.signals import Signals
from indexer.errors import UsageError
from indexer.run.budget import Budget
from indexer.run.fleet import open_fleet, run_on_cluster
from indexer.run.repositories import Repository
from indexer.run.run_all import Outcome, Results
from indexer.settings.assembly import make_settings
from indexer.settings.declarations import (
    CACHE_DIR,
    CACHE_SIZE,
    EVENTS,
    EXECUTOR,
    JOBS,
    MAX_SECONDS,
    STATE_DIR,
    TOKEN,
    URI,
    WEBHOOK,
)
from indexer.settings.files import ProjectFiles
from indexer.settings.kinds import PATHS
from indexer.settings.requests import SCRATCH, SCRATCH_SIZE
from indexer.settings.setting import Setting
from indexer.settings.values import Origin, Value, resolve

if TYPE_CHECKING:
    from concurrent.futures import Future

# What a variable says of this machine says nothing of the others.
_OF_THE_MACHINE = (CACHE_DIR, CACHE_SIZE, STATE_DIR, JOBS, SCRATCH, SCRATCH_SIZE)


def run_fleet(
    projects: Iterable[Repository],
    given: Mapping[Setting, Value],
    results: Results,
    signals: Signals,
    *,
    quiet: bool,
) -> None:
    """Run each project on a host of the cluster.

    Raises `UsageError`, `ModelError`, and `ClusterUnavailableError` once the cluster is gone: the
    results until then stand.
    """
    projects = list(projects)
    told = told_to_hosts(given)
    folder = os.getcwd()
    settings = make_settings(folder, resolve(RUN_OPTIONS, given, ProjectFiles(folder)))
    _refuse_secrets(settings.executor, projects, told)
    budget = Budget(settings.max_seconds)

    def start(project: Repository, patience: float) -> Future[Outcome]:
        seconds = max(1.0, budget.seconds_left) if settings.max_seconds else 0
        errand = errand_for(project, told, patience, seconds)
        submit: Callable[..., Future[Outcome]] = workers.chunkers.submit
        return submit(run_errand, errand)

    with (
        closing(Bars(quiet=quiet)) as bars,
        open_fleet(settings, bars.step, bars.warn) as workers,
    ):
        run_on_cluster(
            projects,
            start,
            lambda: workers.jobs,
            results,
            lambda: signals.received,
            lambda: budget.is_spent,
        )


def told_to_hosts(given: Mapping[Setting, Value]) -> dict[Setting, Value]:
    """What the hosts are told of what was given here. Raises `UsageError`."""
    if EVENTS in given and given[EVENTS].value:
        raise UsageError(
            "--events is a file on this machine: use --webhook with a cluster"
        )
    return {
        setting: replace(value, value=_whole(setting, value.value))
        for setting, value in given.items()
        if setting not in (EXECUTOR, MAX_SECONDS)
        and (setting not in _OF_THE_MACHINE or value.origin is Origin.OPTION)
    }


def _whole(setting: Setting, value: Any) -> Any:
    """The value; a path is relative to the current folder, which the hosts do not know."""
    if isinstance(value, tuple) and setting.kind in PATHS:
        return tuple(_whole(setting, one) for one in value)
    is_path = is_local(value) if setting is URI else setting.kind in PATHS
    if not is_path or not value or value.startswith("~"):
        return value
    return os.path.abspath(value)


def _refuse_secrets(
    executor: str, projects: Iterable[Repository], told: Mapping[Setting, Value]
) -> None:
    """Raise `UsageError` for a secret that would go through a network for all to read."""
    if is_private_cluster(executor):
        return
    found = ""
    if TOKEN in told and told[TOKEN].value:
        found = f"the token ({TOKEN.variable})"
    elif URI in told and Address(told[URI].value).has_secrets:
        found = "the secret in --uri"
    elif WEBHOOK in told and told[WEBHOOK].value:
        found = "the address in --webhook"
    for project in projects:
        if project.remote and project.remote.credentials:
            found = f"the password of {project.name}"
    if found:
        raise UsageError(
            f"{found} would go to {executor} unencrypted: use a tls:// scheduler, or set it "
            "only in the environment of the workers"
        )
