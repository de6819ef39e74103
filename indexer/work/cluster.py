"""A Dask cluster as an executor: the tasks of a run go to `codx-index worker`s.

Each worker is asked first whether it would compute the same, and gets tasks only if so. Files are read
here, so what leaves this machine is text whose secrets are masked. Nothing stays on the cluster once a
result is here, or the run is over.
"""

from __future__ import annotations

import asyncio
import pickle
import time
import uuid
from collections import deque
from collections.abc import Callable, Coroutine, Iterator, Sequence
from concurrent.futures import Executor, Future
from contextlib import contextmanager, suppress
from threading import Thread
from typing import Any, ParamSpec, TypeVar, cast

from msgspec.structs import replace

from indexer.config import Reading
from indexer.errors import (
    ClusterUnavailableError,
    ModelError,
    UsageError,
    WorkerDiedError,
)
from indexer.pool.serial import SerialExecutor
from indexer.timeline import moved
from indexer.work import worker
from indexer.work.cluster_host import CALL, CHUNK, EMBED, Answer, Call, Outcome, accept
from indexer.work.dask_library import (
    check_installed,
    import_distributed,
    scheduler_address,
)
from indexer.work.recipe import Recipe
from indexer.work.workers import CPU_TASK, Workers

P = ParamSpec("P")
T = TypeVar("T")

CONNECT_SECONDS = 10.0
WORKER_SECONDS = 15.0  # that a run waits for the first worker, or for another one
LOOK_SECONDS = 1.0  # between two looks at which workers there are
CLOSE_SECONDS = 3.0
# Dask's scheduler does 400 to 500 tasks a second, so many workers get larger ones.
LARGEST_TASK = 512  # chunks to embed
_TASK_PER_JOB = 4

_KINDS: dict[Callable[..., Any], str] = {
    worker.chunk_files: CHUNK,
    worker.embed_texts: EMBED,
}


@contextmanager
def open_cluster(
    executor: str,
    jobs: int,
    recipe: Recipe,
    reading: Reading,
    on_step: Callable[[str], None],
    on_warning: Callable[[str], None],
) -> Iterator[Workers]:
    """Open the workers of the cluster that `executor` names, at most `jobs` of them (0: all).

    Returns once there is one that accepts the recipe. Raises `UsageError` without the extra,
    `ClusterUnavailableError` where nobody answers or there is no worker, and `ModelError` where all
    workers would compute something else.
    """
    check_installed(f"--executor {executor}")
    with Cluster(executor, jobs, recipe, reading, on_step, on_warning) as cluster:
        cluster.wait_for_workers()
        yield cluster.workers


class Cluster(Executor):
    """An executor of tasks of a recipe. `workers` follows the workers that accept it.

    Any other function is called by a worker itself, in a thread, with the `Premises` behind its arguments.

    A task raises what it raises on one machine. Those that were lost with a worker go out again, as
    often as the scheduler allows (`distributed.scheduler.allowed-failures`); then they raise
    `WorkerDiedError`. Once the scheduler is gone, or no worker has been there for a while, all tasks
    raise `ClusterUnavailableError`.
    """

    def __init__(
        self,
        executor: str,
        jobs: int,
        recipe: Recipe,
        reading: Reading,
        on_step: Callable[[str], None],
        on_warning: Callable[[str], None],
    ) -> None:
        self._name = executor
        self._most = jobs
        self._recipe = recipe
        self._reading = reading
        self._on_step, self._on_warning = on_step, on_warning
        self._news: deque[tuple[Callable[[str], None], str]] = deque()
        self.workers = Workers.alike(self, 1)
        self._error: ClusterUnavailableError | ModelError | None = None
        self._answers: dict[str, Answer] = {}  # by the address of the worker
        self._asking: dict[str, asyncio.Task[None]] = {}
        self._last_there = time.monotonic()
        self._has_begun = False  # there was a worker
        self._tasks: set[asyncio.Task[Any]] = set()
        # Everything below happens in this thread, apart from what is public.
        self._loop = asyncio.new_event_loop()
        self._end: asyncio.Future[None] = self._loop.create_future()
        self._thread = Thread(
            target=self._loop.run_forever, name="codx-index cluster", daemon=True
        )
        self._thread.start()
        self._client = cast(Any, None)
        try:
            self._begin(self._connect()).result()
        except BaseException:
            self.shutdown()
            raise
        if link := self._client.dashboard_link:
            on_step(f"connected to {executor}, whose dashboard is {link}")
        self._begin(self._watch())

    def wait_for_workers(self) -> None:
        """Wait until a worker accepts the recipe. Raises `ClusterUnavailableError`, or `ModelError`
        if all workers refuse."""
        while not self._jobs and not self._error:
            time.sleep(0.05)
            self._tell()
        self._tell()
        if self._error:
            raise self._error

    def submit(
        self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs
    ) -> Future[T]:
        self._tell()
        kind = _KINDS.get(fn, CALL)
        positional: Sequence[object] = args
        if kind == CALL:
            arguments = pickle.dumps((fn, positional), 5)
            return cast(Future[T], self._begin(self._perform(kind, arguments)))
        if kind == CHUNK:
            reading = self._read(cast(Any, args[0]))
            if reading.exception():
                return cast(Future[T], reading)
            positional = (reading.result(), *args[1:])
        arguments = pickle.dumps((positional, kwargs), 5)
        return cast(Future[T], self._begin(self._perform(kind, arguments)))

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Let go of all tasks, so that the cluster forgets them, and of the cluster."""
        if self._loop.is_closed():
            return
        self._begin(self._close()).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _connect(self) -> None:
        distributed = import_distributed()
        address = scheduler_address(self._name)
        try:
            self._client = distributed.Client(
                address,
                timeout=CONNECT_SECONDS,
                set_as_default=False,
                asynchronous=True,
            )
            await self._client
        except (OSError, ValueError) as error:
            raise ClusterUnavailableError(
                f"no Dask scheduler answers at {self._name}: {_short(error)}"
            ) from error
        except (TypeError, RuntimeError) as error:  # of the settings of TLS
            raise UsageError(f"{self._name} cannot be used: {_short(error)}") from error

    async def _close(self) -> None:
        tasks = self._tasks - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._client is not None:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._client.close(), CLOSE_SECONDS)

    def _read(
        self, files: Sequence[tuple[str, bytes]]
    ) -> Future[list[tuple[str, worker.ReadFile]]]:
        """Read files before they leave this machine. A future that is done."""
        here = SerialExecutor(self._recipe.task_timeout)
        return here.submit(
            lambda: [
                (path, worker.read_file(path, data, self._reading))
                for path, data in files
            ]
        )

    async def _perform(self, kind: str, arguments: bytes) -> Any:
        """Run a task on the cluster. If it is cancelled, so is the cluster's."""
        from distributed import CancelledError
        from distributed.scheduler import KilledWorker

        if self._error:
            raise self._error
        future = self._client.submit(
            pickle.loads,
            pickle.dumps(Call(self._recipe, kind, arguments), 5),
            key=f"{kind}-{uuid.uuid4().hex}",
            pure=False,
            resources={self._recipe.id: 1},
        )
        result = asyncio.ensure_future(future.result())
        try:
            await asyncio.wait({result, self._end}, return_when=asyncio.FIRST_COMPLETED)
            if not result.done():
                raise self._error or self._gone()
            pickled = result.result()
        except KilledWorker as error:
            raise WorkerDiedError("the cluster workers that had it died") from error
        except CancelledError as error:
            raise self._error or self._gone() from error
        finally:
            result.cancel()
            future.release()
        outcome: Outcome = pickle.loads(pickled)
        return outcome.result if kind == CALL else _received(outcome)

    async def _watch(self) -> None:
        """Follow which workers there are, and ask the new ones, until the cluster is of no use."""
        while self._error is None:
            await asyncio.sleep(0 if not self._answers else LOOK_SECONDS)
            try:
                there = set(await self._client.scheduler.ncores())
            except OSError:
                there = set(self._answers)
            if self._client.status not in ("running", "connecting"):
                self._fail(self._gone())
            for address in there - set(self._answers) - set(self._asking):
                asking = self._tracked(self._ask(address))
                self._asking[address] = asyncio.create_task(asking)
            for address in set(self._answers) - there:
                answer = self._answers.pop(address)
                if not answer.refusal:
                    self._say(self._on_step, f"{answer.host} has left {self._name}")
            self._measure()
            if self._jobs:
                self._has_begun, self._last_there = True, time.monotonic()
            elif time.monotonic() - self._last_there > WORKER_SECONDS or (
                self._answers and not self._asking and not self._has_begun
            ):
                self._fail(self._useless())
            await asyncio.sleep(0.05)

    async def _ask(self, address: str) -> None:
        """Ask one worker whether it accepts the recipe."""
        try:
            answers = await self._client.run(
                accept, self._recipe, workers=[address], on_error="return"
            )
        except OSError:
            answers = {}
        finally:
            del self._asking[address]
        answer = answers.get(address)
        if isinstance(answer, ImportError):
            answer = Answer(address, 0, "codx-index is not installed there")
        if not isinstance(answer, Answer):
            return  # it has left, or is asked once more
        self._answers[address] = answer
        self._measure()
        if answer.refusal:
            self._say(self._on_warning, f"{answer.host} is not used: {answer.refusal}")
        else:
            self._say(
                self._on_step, f"{answer.host} of {self._name} joins with {answer.jobs}"
            )

    @property
    def _jobs(self) -> int:
        return sum(one.jobs for one in self._answers.values() if not one.refusal)

    def _measure(self) -> None:
        """Let windows and tasks follow the workers that there are."""
        jobs = max(1, min(self._jobs, self._most or self._jobs))
        self.workers.jobs = self.workers.embed_jobs = jobs
        self.workers.embed_task = min(max(_TASK_PER_JOB * jobs, CPU_TASK), LARGEST_TASK)

    def _gone(self) -> ClusterUnavailableError:
        return ClusterUnavailableError(
            f"the Dask scheduler at {self._name} is gone: run again once it is back"
        )

    def _useless(self) -> ClusterUnavailableError | ModelError:
        """Why no worker can be used."""
        if self._answers:
            first = next(iter(self._answers.values()))
            return ModelError(
                f"no worker at {self._name} would compute the same vectors: {first.host}: "
                f"{first.refusal}"
            )
        return ClusterUnavailableError(
            f"no worker is connected to {self._name}: start one with codx-index worker "
            f"{self._name}"
        )

    def _fail(self, error: ClusterUnavailableError | ModelError) -> None:
        """Have all tasks, those to come included, raise the error, unless there is one already."""
        if self._error is None:
            self._error = error
            self._end.set_result(None)

    def _say(self, how: Callable[[str], None], message: str) -> None:
        self._news.append((how, message))

    def _tell(self) -> None:
        """Say, in the thread of the run, what was heard in the other one."""
        while self._news:
            how, message = self._news.popleft()
            how(message)

    def _begin(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        return asyncio.run_coroutine_threadsafe(self._tracked(work), self._loop)

    async def _tracked(self, work: Coroutine[Any, Any, T]) -> T:
        """Do some work that the end of this cluster ends as well."""
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            return await work
        finally:
            self._tasks.discard(task)


def _received(outcome: Outcome) -> Any:
    """The result of a task; its spans are moved to the clock of this machine."""
    seconds = outcome.to_time_of_day - (time.time() - time.monotonic())
    spans = [moved(span, outcome.host, seconds) for span in outcome.result.spans]
    return replace(outcome.result, spans=spans)


def _short(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
