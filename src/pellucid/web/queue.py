"""A fair queue before one worker: clients take turns, each served in the order in which it asked."""

import asyncio
import sys
import threading
import time
import traceback
from collections import deque
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from contextlib import suppress
from typing import Any, Generic, TypeVar

from pellucid.errors import PellucidError
from pellucid.web.limits import AnswerError, busy

T = TypeVar("T")

_POLL = 0.2
"""Seconds between two looks at whether a client is still there."""


class ClientGoneError(Exception):
    """Nobody waits for the answer any more."""


class Job(Generic[T]):
    """One thing to compute. ``wanted``: whether somebody still waits for it."""

    def __init__(self, client: str, function: Callable[["Job[T]"], T]) -> None:
        self.client = client
        self.function = function
        self.future: Future[T] = Future()
        self.asked = time.perf_counter()
        self.waited = 0.0
        self.started = False
        self.wanted = True

    def go_on(self, *_: object) -> None:
        """To be called between the steps of something long. Raises ClientGoneError where nobody wants it any more."""
        if not self.wanted:
            raise ClientGoneError


class FairQueue:
    """Jobs of many clients, one at a time in a thread of its own, the clients in turn.

    A client's next job waits until every other client that is waiting has had one. ``limit``: how many jobs may wait;
    where there are more, the client that has most of them loses its last.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._lines: dict[str, deque[Job[Any]]] = {}
        self._change = threading.Condition()
        self._running: Job[Any] | None = None
        self._closed = False
        # a daemon, since a job that nobody waits for must not keep the process from ending
        self._worker = threading.Thread(target=self._work, name="pellucid worker", daemon=True)
        self._worker.start()

    @property
    def waiting(self) -> int:
        """How many jobs wait."""
        with self._change:
            return self._count()

    @property
    def running(self) -> bool:
        """Whether a job is being computed."""
        with self._change:
            return self._running is not None

    def _count(self) -> int:
        return sum(map(len, self._lines.values()))

    async def run(self, client: str, function: Callable[[Job[T]], T], gone: Callable[[], Awaitable[bool]]) -> T:
        """What a function returns, which is called in the worker when it is its turn.

        ``gone``: whether the client is no longer there. Raises AnswerError where too many jobs wait or the job crashed,
        ClientGoneError, and PellucidError as the function does.
        """
        job = self.submit(client, function)
        answer = asyncio.wrap_future(job.future)
        try:
            while not (await asyncio.wait({answer}, timeout=_POLL))[0]:
                if await gone():
                    raise ClientGoneError
            return answer.result()
        finally:
            self.drop(job)
            answer.cancel()

    def submit(self, client: str, function: Callable[[Job[T]], T]) -> Job[T]:
        """Puts a job into its client's line. Raises AnswerError where too many wait."""
        job = Job(client, function)
        with self._change:
            if self._closed:
                raise AnswerError(503, "the server is stopping")
            if self._count() >= self.limit:
                self._make_room(client)
            self._lines.setdefault(client, deque()).append(job)
            self._change.notify()
        return job

    def _make_room(self, client: str) -> None:
        refusal = busy(f"{self.limit} questions wait for an answer already")
        longest = max(self._lines, key=lambda name: len(self._lines[name]), default=None)
        own = len(self._lines.get(client, ()))
        if longest is None or len(self._lines[longest]) <= own + 1:
            raise refusal
        _fail(self._lines[longest].pop(), refusal)

    def drop(self, job: Job[Any]) -> None:
        """Takes back a job: one that waits never runs.

        One that runs is told so, and stops where its function looks (``Job.go_on``): a pass through a network cannot be
        broken off from outside, since a thread cannot be killed, so it is finished and its result thrown away.
        """
        with self._change:
            job.wanted = False
            line = self._lines.get(job.client)
            if line is not None and job in line:
                line.remove(job)
                if not line:
                    del self._lines[job.client]

    def close(self) -> None:
        """Refuses what waits and what is asked from now on; nobody waits for what runs."""
        with self._change:
            self._closed = True
            left = [job for line in self._lines.values() for job in line]
            self._lines.clear()
            left += [self._running] if self._running is not None else []
            self._change.notify()
        for job in left:
            job.wanted = False
            _fail(job, AnswerError(503, "the server is stopping"))

    def _work(self) -> None:
        while (job := self._next()) is not None:
            _do(job)
            self._finished(job)
            del job  # its result may be large, and the next job may be long in coming

    def _next(self) -> Job[Any] | None:
        with self._change:
            while not self._lines and not self._closed:
                self._change.wait()
            if self._closed:
                return None
            client = next(iter(self._lines))
            job = self._lines[client].popleft()
            if not self._lines[client]:
                del self._lines[client]
            job.started = True
            self._running = job
            return job

    def _finished(self, job: Job[Any]) -> None:
        with self._change:
            self._running = None
            # Its turn comes again after all who were waiting, and after those who came while it was served.
            line = self._lines.pop(job.client, None)
            if line is not None:
                self._lines[job.client] = line


def _do(job: Job[Any]) -> None:
    job.waited = time.perf_counter() - job.asked
    try:
        result = job.function(job)
    except (PellucidError, AnswerError, ClientGoneError) as error:
        _fail(job, error)
    except BaseException as error:  # whatever one job does, the next one is computed
        traceback.print_exc(file=sys.stderr)
        _fail(job, AnswerError(500, f"this went wrong inside ({type(error).__name__}); the server's window says more"))
    else:
        with suppress(Exception):  # nobody waits any more
            job.future.set_result(result)


def _fail(job: Job[Any], error: BaseException) -> None:
    with suppress(Exception):  # nobody waits any more
        job.future.set_exception(error)
