"""Answers that several servers share, in Redis.

Nothing depends on it: whoever asks is told within a bounded time, and an answer that is not found,
not found in time, or not to be had is one that the model makes. Keys of one turn of the event loop
go in one command. redis-py is imported only where a server has such a store.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from serve.cache.breaker import Breaker
from serve.cache.packed import pack, unpack
from serve.clock import NS_PER_MS, Clock
from serve.monitoring.metrics import SharedCacheMetrics
from serve.tensors import Array, TensorSpec

if TYPE_CHECKING:
    from redis.asyncio import Redis

__all__ = ["MAX_ANSWER_BYTES", "SharedCache"]

log = logging.getLogger("penstock.cache")

PREFIX = b"penstock:answer:"
MAX_COMMANDS = 4
"""Under way at once; what comes meanwhile goes together in the next."""
MAX_KEYS = 256
MAX_ANSWER_BYTES = 1 << 20
"""A larger answer is not shared: it would hold up those behind it."""
MAX_WAITING_BYTES = 16 << 20
"""Answers that wait to be written; what comes beyond is not shared."""

Told = Callable[[bytes | None], None]
_Asked = tuple[bytes, Told]
_Given = tuple[bytes, bytes, int]
"""Key, answer, and how long it is to live in ns."""


class SharedCache:
    """Asks Redis for answers, and gives it those that were made. Belongs to the event loop."""

    def __init__(
        self,
        url: str,
        timeout_s: float,
        metrics: SharedCacheMetrics,
        clock: Clock,
        loop: asyncio.AbstractEventLoop,
        epoch_offset_ns: int,
    ) -> None:
        """``timeout_s``: longest wait for a command; whoever asks may wait for one before it.

        ``epoch_offset_ns`` turns the clock's nanoseconds into those since 1970: the age of an
        answer is told by the clocks of two machines, and is as exact as they agree.

        Raises:
            ValueError: the URL is wrong, or redis-py is not installed.
        """
        self._timeout_s = timeout_s
        self._metrics = metrics
        self._clock = clock
        self._loop = loop
        self._epoch_offset_ns = epoch_offset_ns
        self._redis = _connect(url, timeout_s)
        self._breaker = Breaker()
        self._asked: list[_Asked] = []
        self._given: list[_Given] = []
        self._waiting_bytes = 0
        self._due = False
        self._commands: set[asyncio.Task[Any]] = set()

    def lets_through(self) -> bool:
        """Whether it is worth asking; false while Redis does not answer."""
        lets = self._breaker.lets_through(self._clock())
        self._metrics.available = not self._breaker.open
        return lets

    def look_up(self, key: bytes, told: Told) -> None:
        """Call ``told`` with the answer of that key, or None, later and in bounded time."""
        self._asked.append((key, told))
        self._soon()

    def unpack(
        self, data: bytes, specs: Sequence[TensorSpec], rows: int | None
    ) -> tuple[list[Array], int, int]:
        """Outputs, age and what they took to make, in ns, of what ``look_up`` has found.

        Raises:
            ValueError: see ``serve.cache.packed.unpack``.
        """
        answer = unpack(data, specs, rows)
        now_ms = (self._clock() + self._epoch_offset_ns) // NS_PER_MS
        return answer.outputs, max(0, now_ms - answer.made_ms) * NS_PER_MS, answer.took_ns

    def keep(
        self,
        key: bytes,
        outputs: Sequence[Array],
        specs: Sequence[TensorSpec],
        took_ns: int,
        ttl_ns: int,
    ) -> None:
        """Keep an answer for so long (0: until others need its place), if it can be done."""
        if self._breaker.open or sum([array.nbytes for array in outputs]) > MAX_ANSWER_BYTES:
            return
        made_ms = (self._clock() + self._epoch_offset_ns) // NS_PER_MS
        answer = pack(outputs, specs, made_ms, took_ns)
        if len(answer) > MAX_ANSWER_BYTES:
            return
        if self._waiting_bytes + len(answer) > MAX_WAITING_BYTES:
            self._metrics.failures["busy"] += 1
            return
        self._waiting_bytes += len(answer)
        self._given.append((key, answer, ttl_ns))
        self._soon()

    async def close(self) -> None:
        """Tell whoever waits that there is no answer, and hang up."""
        self._give_up()
        for task in self._commands:
            task.cancel()
        await asyncio.gather(*self._commands, return_exceptions=True)
        await self._redis.aclose()

    def _soon(self) -> None:
        if not self._due:
            self._due = True
            self._loop.call_soon(self._send)

    def _send(self) -> None:
        """Start commands for what waits, while there is room for them."""
        self._due = False
        while self._asked and len(self._commands) < MAX_COMMANDS:
            asked, self._asked = self._asked[:MAX_KEYS], self._asked[MAX_KEYS:]
            self._start(self._ask(asked), partial(self._tell, asked))
        while self._given and len(self._commands) < MAX_COMMANDS:
            given, self._given = self._given[:MAX_KEYS], self._given[MAX_KEYS:]
            self._start(self._give(given), partial(self._written, given))

    def _start(self, command: Any, then: Callable[[asyncio.Task[Any]], None]) -> None:
        task = self._loop.create_task(command)
        self._commands.add(task)
        # Not in the command itself: one that is cancelled before its first step has no last one.
        task.add_done_callback(then)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._commands.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("unexpected error in the shared cache", exc_info=error)
        self._send()

    async def _ask(self, asked: list[_Asked]) -> list[bytes | None] | None:
        keys = [PREFIX + key.hex().encode() for key, _ in asked]
        found: list[bytes | None] | None = await self._bounded(self._redis.mget(keys))
        return found

    def _tell(self, asked: list[_Asked], task: asyncio.Task[Any]) -> None:
        found = None if task.cancelled() or task.exception() else task.result()
        for (_, told), answer in zip(asked, found or [None] * len(asked), strict=True):
            try:
                told(answer)
            except Exception:  # the others are not to wait for ever
                log.exception("unexpected error in a request")

    async def _give(self, given: list[_Given]) -> None:
        pipeline = self._redis.pipeline(transaction=False)
        for key, answer, ttl_ns in given:
            ttl_ms = max(1, ttl_ns // NS_PER_MS) if ttl_ns else None
            pipeline.set(PREFIX + key.hex().encode(), answer, px=ttl_ms)
        await self._bounded(pipeline.execute())

    def _written(self, given: list[_Given], task: asyncio.Task[Any]) -> None:
        self._waiting_bytes -= sum([len(answer) for _, answer, _ in given])

    async def _bounded(self, command: Any) -> Any:
        """The result of a command; None if there is none in time."""
        from redis.exceptions import RedisError

        reason = "error"
        started_ns = self._clock()
        try:
            async with asyncio.timeout(self._timeout_s):
                result = await command
        except TimeoutError:
            reason, problem = "timeout", f"no answer after {self._timeout_s * 1000:g} ms"
        except (RedisError, OSError) as error:
            problem = f"{type(error).__name__}: {error}"
        else:
            if self._breaker.open:
                log.info("the shared cache answers again")
            self._breaker.succeeded()
            self._metrics.available = True
            self._metrics.commands += 1
            self._metrics.command_ns += self._clock() - started_ns
            return result
        was_open = self._breaker.open
        self._breaker.failed(self._clock())
        self._metrics.failures[reason] += 1
        self._metrics.available = not self._breaker.open
        if self._breaker.open:
            if not was_open:
                log.warning("going on without the shared cache: %s", problem)
            self._give_up()
        return None

    def _give_up(self) -> None:
        """Let nobody wait for what would fail as well."""
        asked, self._asked = self._asked, []
        for _, told in asked:
            told(None)
        self._waiting_bytes -= sum([len(answer) for _, answer, _ in self._given])
        self._given.clear()


def _connect(url: str, timeout_s: float) -> Redis:
    try:
        from redis.asyncio import Redis
        from redis.asyncio.retry import Retry
        from redis.backoff import NoBackoff
    except ImportError:
        raise ValueError(
            "--cache-redis needs the package redis: install the extra with"
            " `pip install 'penstock[redis]'`"
        ) from None
    connect_s = max(timeout_s, 0.1)
    try:
        return Redis.from_url(
            url,
            max_connections=2 * MAX_COMMANDS,
            socket_connect_timeout=connect_s,
            # No second try: whoever waits would wait for that, too.
            retry=Retry(NoBackoff(), 0),
        )
    except ValueError as error:
        raise ValueError(f"--cache-redis: {error}") from None
