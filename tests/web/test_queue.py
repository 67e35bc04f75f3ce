"""The fair queue: turns, refusals, jobs that nobody waits for."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from pellucid.errors import PellucidError
from pellucid.web.limits import AnswerError
from pellucid.web.queue import ClientGoneError, FairQueue, Job


class Gate:
    """Fake jobs that note that they ran; the first holds the worker until it is let go."""

    def __init__(self, queue: FairQueue) -> None:
        self.queue = queue
        self.ran: list[str] = []
        self.open = threading.Event()
        self.begun = threading.Event()

    def hold(self, client: str) -> Job[Any]:
        def run(job: Job[Any]) -> str:
            self.begun.set()
            assert self.open.wait(10)
            self.ran.append("held")
            return "held"

        job = self.queue.submit(client, run)
        assert self.begun.wait(10)
        return job

    def put(self, client: str, name: str) -> Job[str]:
        def run(job: Job[str]) -> str:
            self.ran.append(name)
            return name

        return self.queue.submit(client, run)


@pytest.fixture
def queue() -> Iterator[FairQueue]:
    made = FairQueue(limit=20)
    yield made
    made.close()


async def _there() -> bool:
    return False


def test_clients_take_turns_and_each_is_served_in_order(queue: FairQueue) -> None:
    gate = Gate(queue)
    gate.hold("a")
    jobs = [gate.put("a", f"a{n}") for n in range(9)]
    jobs.append(gate.put("b", "b0"))
    jobs += [gate.put("c", f"c{n}") for n in range(2)]
    assert queue.waiting == 12
    gate.open.set()
    for job in jobs:
        job.future.result(10)
    # b and c came while a was served, so they wait for that one job alone
    assert gate.ran[:6] == ["held", "b0", "c0", "a0", "c1", "a1"]
    assert gate.ran[6:] == [f"a{n}" for n in range(2, 9)]
    assert queue.waiting == 0


def test_a_dropped_job_never_runs(queue: FairQueue) -> None:
    gate = Gate(queue)
    gate.hold("a")
    dropped, kept = gate.put("b", "dropped"), gate.put("b", "kept")
    queue.drop(dropped)
    gate.open.set()
    assert kept.future.result(10) == "kept"
    assert gate.ran == ["held", "kept"]
    assert not dropped.future.done()


def test_who_goes_away_while_waiting_is_dropped(queue: FairQueue) -> None:
    gate = Gate(queue)
    gate.hold("a")
    looks = 0

    async def gone() -> bool:
        nonlocal looks
        looks += 1
        return looks > 1

    with pytest.raises(ClientGoneError):
        asyncio.run(queue.run("b", lambda job: gate.ran.append("b"), gone))
    assert queue.waiting == 0
    gate.open.set()
    assert gate.put("c", "c").future.result(10) == "c"
    assert gate.ran == ["held", "c"]


def test_a_cancelled_request_is_dropped(queue: FairQueue) -> None:
    gate = Gate(queue)
    gate.hold("a")

    async def ask() -> None:
        task = asyncio.create_task(queue.run("b", lambda job: gate.ran.append("b"), _there))
        while not queue.waiting:
            await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(ask())
    gate.open.set()
    gate.put("c", "c").future.result(10)
    assert gate.ran == ["held", "c"]


def test_a_running_job_is_told_that_nobody_waits(queue: FairQueue) -> None:
    begun, stopped = threading.Event(), threading.Event()

    def steps(job: Job[None]) -> None:
        try:
            for _ in range(1000):
                begun.set()
                job.go_on()
                threading.Event().wait(0.01)
        except ClientGoneError:
            stopped.set()
            raise

    job = queue.submit("a", steps)
    assert begun.wait(10)
    queue.drop(job)
    assert stopped.wait(5)
    assert queue.submit("a", lambda job: 1).future.result(10) == 1


@pytest.mark.parametrize(
    ("fault", "status"),
    [(ValueError("x"), 500), (MemoryError(), 500), (SystemExit(3), 500), (AnswerError(404, "x"), 404)],
)
def test_a_crash_is_told_and_the_worker_lives_on(
    queue: FairQueue, fault: BaseException, status: int, capsys: pytest.CaptureFixture[str]
) -> None:
    def crash(job: Job[Any]) -> None:
        raise fault

    with pytest.raises(AnswerError) as told:
        asyncio.run(queue.run("a", crash, _there))
    assert told.value.status == status
    assert "\n" not in told.value.line
    assert (type(fault).__name__ in capsys.readouterr().err) == (status == 500)
    assert asyncio.run(queue.run("a", lambda job: 5, _there)) == 5


def test_what_a_person_can_mend_is_handed_on(queue: FairQueue) -> None:
    def refuse(job: Job[Any]) -> None:
        raise PellucidError("cells.jpg: damaged")

    with pytest.raises(PellucidError, match=r"cells\.jpg"):
        asyncio.run(queue.run("a", refuse, _there))


def test_a_full_queue_refuses_but_lets_another_client_in() -> None:
    queue = FairQueue(limit=3)
    gate = Gate(queue)
    gate.hold("a")
    jobs = [gate.put("a", f"a{n}") for n in range(3)]
    with pytest.raises(AnswerError) as told:
        gate.put("a", "a3")
    assert told.value.status == 503
    gate.put("b", "b0")  # a's last gives way
    last: Callable[[], Any] = jobs[2].future.result
    with pytest.raises(AnswerError, match="wait"):
        last()
    with pytest.raises(AnswerError):
        gate.put("b", "b1")  # two of a's against one of its own would be the other way round
    gate.open.set()
    jobs[1].future.result(10)
    assert gate.ran == ["held", "b0", "a0", "a1"]
    queue.close()


def test_a_closed_queue_answers_everyone(queue: FairQueue) -> None:
    gate = Gate(queue)
    held, waiting = gate.hold("a"), gate.put("b", "b")
    queue.close()
    for job in (held, waiting):
        with pytest.raises(AnswerError, match="stopping"):
            job.future.result(10)
    with pytest.raises(AnswerError, match="stopping"):
        gate.put("c", "c")
    gate.open.set()
    assert "b" not in gate.ran
