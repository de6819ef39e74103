"""What runs inside a worker of a Dask cluster: a pool of our own for each recipe.

Dask's worker is one process whose threads only wait. The pool inside does the work, so a file that
kills or hangs a process costs that file alone, as on one machine.
"""

from __future__ import annotations

import asyncio
import os
import pickle
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError, Executor, Future
from contextlib import ExitStack, contextmanager
from typing import Any

from msgspec import Struct, field

from indexer.errors import CodxIndexError, ModelError
from indexer.types import Premises
from indexer.vectors.backend import Backend
from indexer.work import worker
from indexer.work.recipe import Recipe, differences, version_differences
from indexer.work.workers import Workers, open_workers

IDLE_SECONDS = 300.0  # after which what a recipe needs is dropped
MOST_RECIPES = 4  # that are kept at the same time, if they are not at work
THREADS = 2  # of Dask for each of our processes, which then has a second task at hand
_LOOK = 1.0  # seconds between two looks at whether a result is still wanted
_ALWAYS = 1 << 30  # of a resource: it only says that there is some

CHUNK, EMBED, CALL = "chunk", "embed", "call"
_TASKS: dict[str, Callable[..., Any]] = {
    CHUNK: worker.chunk_files,
    EMBED: worker.embed_texts,
}


class Answer(Struct, frozen=True):
    """What a worker answers to a recipe: how many `jobs` its `host` does at a time, or the
    `refusal`."""

    host: str
    jobs: int
    refusal: str = ""


class Outcome(Struct, frozen=True):
    """What a task returned, on which host, and the difference between its clocks: the seconds to
    add to a time of the monotonic one there to get the time of day."""

    result: Any
    host: str
    to_time_of_day: float


class _Kept(Struct):
    """The workers of a recipe. `users` counts the tasks that wait for them."""

    workers: Workers
    stack: ExitStack
    users: int = 0
    last_used: float = field(default_factory=time.monotonic)


class Host:
    """This machine as a worker of a cluster: `jobs` processes for each recipe at work.

    `models` are names or folders of models, besides those that recipes name. Their conversions are
    kept in `cache_dir`. `on_step` is told what takes long.
    """

    def __init__(
        self,
        cache_dir: str,
        models: Sequence[str],
        jobs: int,
        on_step: Callable[[str], None] = lambda message: None,
    ) -> None:
        self.jobs = jobs
        self._cache_dir = cache_dir
        self._models = models
        self._on_step = on_step
        self._kept: dict[str, _Kept] = {}
        self._lock = threading.Lock()
        self._preparing = threading.Lock()

    def call(self, arguments: bytes) -> bytes:
        """Call a function in this thread, with its arguments and the `Premises`. It and the
        arguments are pickled, and so is the `Outcome`."""
        function, positional = pickle.loads(arguments)
        premises = Premises(self.jobs, self._cache_dir, _wanted())
        return _pickled(function(*positional, premises))

    def answer(self, recipe: Recipe) -> Answer:
        """Prepare for a recipe, unless something differs here."""
        name = os.uname().nodename
        if found := "; ".join(version_differences(recipe)):
            return Answer(name, self.jobs, found)
        try:
            backend = self._backend(recipe)
        except CodxIndexError as error:
            return Answer(name, self.jobs, str(error))
        return Answer(name, self.jobs, "; ".join(differences(recipe, backend)))

    @contextmanager
    def workers(self, recipe: Recipe) -> Iterator[Workers]:
        """The workers of a recipe, for one task. Raises `ModelError` if something differs.

        If the block ends because nobody wants the result (`CancelledError`), and nobody else is
        waiting, the processes end at once.
        """
        kept = self._take(recipe)
        is_wanted = True
        try:
            yield kept.workers
        except CancelledError:
            is_wanted = False
            raise
        finally:
            with self._lock:
                kept.users -= 1
                kept.last_used = time.monotonic()
            if not is_wanted:
                self._drop(lambda one: one is kept)

    def drop_idle(self) -> None:
        """End the processes for recipes that nobody used for a while."""
        now = time.monotonic()
        self._drop(lambda kept: now - kept.last_used > IDLE_SECONDS)

    def close(self) -> None:
        """End all processes."""
        self._drop(lambda kept: True, at_work=True)

    def _take(self, recipe: Recipe) -> _Kept:
        with self._preparing:
            with self._lock:
                kept = self._kept.get(recipe.id)
                if kept:
                    kept.users += 1
                    return kept
            backend = self._backend(recipe)
            if found := "; ".join(differences(recipe, backend)):
                raise ModelError(f"{os.uname().nodename} cannot do this: {found}")
            self._make_room()
            stack = ExitStack()
            workers = stack.enter_context(
                open_workers(
                    "process", self.jobs, backend, task_timeout=recipe.task_timeout
                )
            )
            kept = _Kept(workers, stack, users=1)
            with self._lock:
                self._kept[recipe.id] = kept
            return kept

    def _make_room(self) -> None:
        with self._lock:
            idle = [kept for kept in self._kept.values() if not kept.users]
            idle.sort(key=lambda kept: kept.last_used)
            old = idle[: max(0, len(self._kept) - MOST_RECIPES + 1)]
        self._drop(lambda kept: any(kept is one for one in old))

    def _drop(
        self, is_meant: Callable[[_Kept], bool], *, at_work: bool = False
    ) -> None:
        with self._lock:
            dropped = [
                name
                for name, kept in self._kept.items()
                if is_meant(kept) and (at_work or not kept.users)
            ]
            stacks = [self._kept.pop(name).stack for name in dropped]
        for stack in stacks:
            stack.close()

    def _backend(self, recipe: Recipe) -> Backend:
        """What runs the model of the recipe here, converted if need be. Raises `ModelError`."""
        from indexer.vectors.choice import choose_backend
        from indexer.vectors.model import resolve_model

        with_digest, problems = None, []
        for name in dict.fromkeys(filter(None, (recipe.model, *self._models))):
            try:
                model = resolve_model(name, self._cache_dir)
            except ModelError as error:
                problems.append(str(error))
                continue
            if model.digest == recipe.digest:
                with_digest = model
                break
            problems.append(f"{name} has the digest {model.digest[:12]}")
        if with_digest is None:
            raise ModelError(
                f"no model with the digest {recipe.digest[:12]} ({recipe.model or 'a folder'}) is "
                f"known there: {'; '.join(problems)}"
            )
        return choose_backend(
            with_digest,
            self._cache_dir,
            recipe.precision,
            convert=True,
            on_step=self._on_step,
        )


_host: Host | None = None


def be(host: Host | None) -> None:
    """Make this process a host, or none any more."""
    global _host
    _host = host


async def accept(recipe: Recipe, dask_worker: Any = None) -> Answer:
    """Answer to a recipe from a client, and offer Dask to run tasks of it unless it is refused.

    Runs in the event loop of Dask's worker, whose tasks then need a resource with the recipe's id.
    """
    if _host is None:
        return Answer(os.uname().nodename, 0, "it is not a codx-index worker")
    answer = await asyncio.to_thread(_host.answer, recipe)
    if not answer.refusal and recipe.id not in dask_worker.state.total_resources:
        await dask_worker.set_resources(**{recipe.id: _ALWAYS})
        _be_seen(dask_worker)
    return answer


def _be_seen(dask_worker: Any) -> None:
    """Have the scheduler look again at tasks that nobody could run.

    It does that for a worker that resumes, but not for one with a new resource. Without this, tasks
    whose only worker has left would wait for ever.
    """
    from distributed.core import Status

    if dask_worker.status == Status.running:
        dask_worker.status = Status.paused
        dask_worker.status = Status.running


class Call:
    """A task as it travels: a pickle that runs the task where it is loaded.

    So Dask sees a function of the standard library and some bytes, and its scheduler, which
    unpickles what it is given, needs neither this package nor what a task consists of.
    """

    def __init__(self, recipe: Recipe, kind: str, arguments: bytes) -> None:
        self._parts = recipe, kind, arguments

    def __reduce__(self) -> tuple[Callable[..., bytes], tuple[Recipe, str, bytes]]:
        return perform, self._parts


def perform(recipe: Recipe, kind: str, arguments: bytes) -> bytes:
    """Run a task of a recipe in a process of this host.

    `arguments` are pickled, and so is the `Outcome` that is returned: this process looks at neither.
    Raises what the task raises, and `CancelledError` once nobody wants the result any more.
    """
    if _host is None:
        raise ModelError(f"{os.uname().nodename} is not a codx-index worker")
    if kind == CALL:
        return _host.call(arguments)
    with _host.workers(recipe) as workers:
        executor = workers.embedders if kind == EMBED else workers.chunkers
        return _result(_submit(executor, kind, arguments))


def _submit(executor: Executor, kind: str, arguments: bytes) -> Future[bytes]:
    return executor.submit(run_pickled, kind, arguments)


def _result(future: Future[bytes]) -> bytes:
    is_wanted = _wanted()
    while True:
        try:
            return future.result(timeout=_LOOK)
        except TimeoutError:
            if future.done():
                raise
            if not is_wanted():
                raise CancelledError from None


def _wanted() -> Callable[[], bool]:
    """Tells whether somebody still wants the result of the task in this thread."""
    from distributed import get_worker

    dask_worker = get_worker()
    tasks, key = dask_worker.state.tasks, dask_worker.get_current_task()

    def is_wanted() -> bool:
        task = tasks.get(key)
        return task is not None and task.state != "cancelled"

    return is_wanted


def run_pickled(kind: str, arguments: bytes) -> bytes:
    """What a process of the pool runs: a task whose arguments are pickled, like its `Outcome`."""
    positional, named = pickle.loads(arguments)
    result = _TASKS[kind](*positional, **named)
    return _pickled(result)


def _pickled(result: Any) -> bytes:
    offset = time.time() - time.monotonic()
    return pickle.dumps(Outcome(result, os.uname().nodename, offset), 5)
