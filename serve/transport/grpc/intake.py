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


class Lease:
    """One call's share of an intake, from its first line until grpc has sent its status."""

    __slots__ = ("_intake", "abandoned", "held_bytes", "task")

    def __init__(self, intake: Intake, task: asyncio.Task[object]) -> None:
        self._intake = intake
        self.task = task
        self.held_bytes = 0
        self.abandoned = False
        """Whether the server gave the call up; its task has been cancelled, and must answer."""

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

    def __init__(self, max_calls: int, max_bytes: int) -> None:
        self._max_calls = max_calls
        self._max_bytes = max_bytes
        self._leases: set[Lease] = set()
        self._closed = False
        self._left: asyncio.Event | None = None
        self.held_bytes = 0

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
        if len(self._leases) >= self._max_calls:
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
            lease.abandoned = True
            lease.task.cancel()

    def _leave(self, lease: Lease) -> None:
        lease.hold_only(0)
        self._leases.discard(lease)
        if self._left is not None and not self._leases:
            self._left.set()
