"""What calls hold, counted: how many are under way, and the bytes of their messages.

grpc.aio can count calls too, but would count probes among them, so that a server that is only
busy would look like a dead one; and it cannot count bytes.
"""

from __future__ import annotations

import asyncio

import grpc

from serve.errors import NotReady, Overloaded

__all__ = ["Intake", "Lease"]

RETRY_AFTER_S = 1.0
MIN_REST_S = 5.0
"""A stream that was busy more lately does not have to make room."""

STOPPED = "the server has stopped before the answer was ready"
CROWDED_OUT = "the stream was idle when its place was needed; open it again"


class Lease:
    """One call's share of an intake, from its first line until grpc has sent its status."""

    __slots__ = ("_intake", "_task", "abandoned", "held_bytes", "rested_s")

    def __init__(self, intake: Intake, task: asyncio.Task[object]) -> None:
        self._intake = intake
        self._task = task
        self.held_bytes = 0
        self.rested_s = 0.0
        self.abandoned = ""
        """Why the server gave the call up; its task has been cancelled, and must tell."""

    def abandon(self, why: str) -> None:
        """Give the call up."""
        self.abandoned = why
        self._task.cancel()

    def rest(self) -> None:
        """The call owes nothing until something new comes."""
        self._intake.resting[self] = None
        self.rested_s = self._task.get_loop().time()

    def work(self) -> None:
        """Something new has come."""
        self._intake.resting.pop(self, None)

    def hold(self, size_bytes: int) -> None:
        """Count bytes that are kept for the call; negative ones are given back."""
        self.held_bytes += size_bytes
        self._intake.held_bytes += size_bytes

    def hold_message(self, size_bytes: int) -> None:
        """Count a message that has come.

        Raises:
            Overloaded: it does not fit beside those already held; it must be dropped.
        """
        self._intake.check_room(size_bytes)
        self.hold(size_bytes)

    def hold_only(self, size_bytes: int) -> None:
        """Count these bytes in place of all that were held."""
        self.hold(size_bytes - self.held_bytes)


class Intake:
    """Lets calls in while there is room for them. Belongs to the event loop."""

    def __init__(self, max_calls: int, max_bytes: int, min_rest_s: float = MIN_REST_S) -> None:
        self._min_rest_s = min_rest_s
        self._max_calls = max_calls
        self._max_bytes = max_bytes
        self._leases: set[Lease] = set()
        self._closed = False
        self._left: asyncio.Event | None = None
        self.held_bytes = 0
        self.resting: dict[Lease, None] = {}
        """Calls that owe nothing, the longest at rest first; kept by the leases."""

    @property
    def calls(self) -> int:
        """Calls under way."""
        return len(self._leases)

    def enter(self, context: grpc.aio.ServicerContext) -> Lease:
        """Let the running call in; it leaves by itself when grpc is done with it.

        Raises:
            NotReady: the server is stopping.
            Overloaded: there is no room.
        """
        if self._closed:
            raise NotReady("the server is stopping, send the request to another")
        if len(self._leases) >= self._max_calls and not self._made_room():
            raise Overloaded(
                f"{self._max_calls} calls are under way (--grpc-max-concurrent-rpcs); try again",
                reason="concurrent_rpcs",
                retry_after_s=RETRY_AFTER_S,
            )
        self.check_room(1)
        task = asyncio.current_task()
        assert task is not None, "calls run in tasks"
        lease = Lease(self, task)
        self._leases.add(lease)
        context.add_done_callback(lambda _: self._leave(lease))
        return lease

    def check_room(self, size_bytes: int) -> None:
        """Refuse what does not fit beside what is held."""
        if self.held_bytes + size_bytes > self._max_bytes:
            raise Overloaded(
                f"messages under way already fill {self._max_bytes} bytes"
                " (--grpc-max-inflight-bytes); try again",
                reason="inflight_bytes",
                retry_after_s=RETRY_AFTER_S,
            )

    def close(self) -> None:
        """Let nobody in any more; those inside stay."""
        self._closed = True

    async def empty(self, timeout_s: float) -> bool:
        """Wait until the last call has left; False if some are still there after the time-out."""
        if not self._leases:
            return True
        self._left = asyncio.Event()
        try:
            async with asyncio.timeout(timeout_s):
                await self._left.wait()
        except TimeoutError:
            return False
        return True

    def abandon(self) -> None:
        """Give up every call that is left: each is cancelled, and tells its client why."""
        for lease in self._leases:
            lease.abandon(STOPPED)

    def _made_room(self) -> bool:
        """Whether an idle stream was found to go in place of the call that comes.

        Streams may rest as long as they like, but must not keep others out by it.
        """
        for lease in self.resting:
            if asyncio.get_running_loop().time() - lease.rested_s < self._min_rest_s:
                return False
            lease.work()
            lease.abandon(CROWDED_OUT)
            return True
        return False

    def _leave(self, lease: Lease) -> None:
        lease.hold_only(0)
        lease.work()
        self._leases.discard(lease)
        if self._left is not None and not self._leases:
            self._left.set()
