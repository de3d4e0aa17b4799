from __future__ import annotations

import asyncio
import gc
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from serve.clock import monotonic_ns
from serve.errors import BackendError, DeadlineExceeded, TooLarge, Unavailable
from serve.executors.remote.engine import Engine
from serve.executors.remote.executor import RemoteExecutor
from serve.executors.remote.options import Endpoint, RemoteOptions, WantedModel
from serve.executors.remote.replica import State
from serve.executors.remote.wire import Limits, preamble
from serve.monitoring.metrics import ReplicaMetrics
from serve.scheduling.execution import Outcome
from serve.tensors import Batch
from tests.support.engines import Model, an_engine

SECRET = b"0123456789abcdef"
WANTED = WantedModel("m", "1")
PATIENCE_S = 30
TLS = Path(__file__).parents[4] / "support"


def a_batch(value: float = 1, rows: int = 2, columns: int = 3, **fields: Any) -> Batch:
    return Batch((np.full((rows, columns), value, np.float32),), rows, **fields)


class Bench:
    """An executor, and how to wait for what happens to it."""

    def __init__(self, options: RemoteOptions, wanted: WantedModel) -> None:
        self.metrics = ReplicaMetrics()
        self.loop = asyncio.get_running_loop()
        self.executor = RemoteExecutor(wanted, options, self.metrics, monotonic_ns, self.loop)

    def submit(self, batch: Batch) -> asyncio.Future[Outcome]:
        future: asyncio.Future[Outcome] = self.loop.create_future()
        self.executor.submit(batch, 1000, future.set_result)
        return future

    async def run(self, batch: Batch) -> Outcome:
        async with asyncio.timeout(PATIENCE_S):
            return await self.submit(batch)

    def state(self, name: str) -> State | None:
        found = [each.state for each in self.executor.replicas() if each.name == name]
        return found[0] if found else None

    async def until(self, condition: Callable[[], bool]) -> None:
        """Let the loop turn until the condition holds; the test fails if it never does."""
        async with asyncio.timeout(PATIENCE_S):
            while not condition():  # noqa: ASYNC110
                await asyncio.sleep(0.005)


@asynccontextmanager
async def a_gateway(
    *engines: Engine, wanted: WantedModel = WANTED, **options: Any
) -> AsyncIterator[Bench]:
    bench = Bench(RemoteOptions(**{"ping_s": 0.05, "backoff_s": (0.01, 0.05), **options}), wanted)
    bench.executor.update({engine.description.replica: at(engine) for engine in engines})
    try:
        yield bench
    finally:
        bench.executor.close()
        await asyncio.sleep(0)


def at(engine: Engine) -> Endpoint:
    if engine.port:
        return Endpoint(host="127.0.0.1", port=engine.port)
    return Endpoint(path=str(engine._options.socket))


async def test_batch_comes_back_with_its_answer(tmp_path: Path) -> None:
    model = Model()
    with an_engine(tmp_path, model) as engine:
        async with a_gateway(engine) as gateway:
            description = await gateway.executor.described()
            assert (description.model, description.slots, description.profile) == (
                "m",
                1,
                {1: 1000, 64: 2000},
            )
            outcome = await gateway.run(a_batch(3, parameters=((2, {"k": 1}),)))
            assert outcome.outputs is not None
            assert outcome.outputs[0].tolist() == [[6, 6, 6]] * 2
            assert outcome.execute_ns > 0
            assert model.parameters == [((2, {"k": 1}),)]
            assert (gateway.executor.slots, gateway.metrics.slots) == (1, 1)
            assert gateway.metrics.states["ready"] == 1
            assert sum(gateway.metrics.transport.counts) == 1
    assert model.closed.wait(PATIENCE_S)
    assert list((tmp_path / "sockets").iterdir()) == []


async def test_failure_of_the_model_is_the_outcome(tmp_path: Path) -> None:
    with an_engine(tmp_path, Model()) as engine:
        async with a_gateway(engine) as gateway:
            outcome = await gateway.run(a_batch(666))
            assert isinstance(outcome.error, BackendError)
            assert "ArithmeticError: 666" in str(outcome.error)
            assert engine.statistics().failures == 1


@pytest.mark.parametrize("columns", [3, 400_000])
async def test_large_payloads_go_through_shared_memory_and_it_is_freed(
    tmp_path: Path, columns: int
) -> None:
    with an_engine(tmp_path, Model()) as engine:
        async with a_gateway(engine) as gateway:
            for value in range(5):
                outcome = await gateway.run(a_batch(value, columns=columns))
                assert outcome.outputs is not None
                assert (outcome.outputs[0] == 2 * value).all()
            (connection,) = engine._running_state().connections
            arena = connection._arena
            assert arena is not None
            assert arena._touched == (columns > 3)
            del outcome
            gc.collect()
            await gateway.until(lambda: arena.in_use == 0)


async def test_answers_that_are_kept_stay_as_they_were(tmp_path: Path) -> None:
    with an_engine(tmp_path, Model(), shared_bytes=8 << 20) as engine:
        async with a_gateway(engine, shared_bytes=8 << 20) as gateway:
            kept = [await gateway.run(a_batch(value, columns=200_000)) for value in range(12)]
            for value, outcome in enumerate(kept):
                assert outcome.outputs is not None
                assert (outcome.outputs[0] == 2 * value).all()


async def test_large_payloads_are_sent_where_there_is_no_shared_memory(tmp_path: Path) -> None:
    with an_engine(tmp_path, Model(), host="127.0.0.1", secret=SECRET) as engine:
        async with a_gateway(engine, secret=SECRET) as gateway:
            outcome = await gateway.run(a_batch(7, columns=400_000))
            assert outcome.outputs is not None
            assert (outcome.outputs[0] == 14).all()


async def test_tls_carries_batches(tmp_path: Path) -> None:
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(TLS / "tls_cert.pem", TLS / "tls_key.pem")
    client = ssl.create_default_context(cafile=str(TLS / "tls_cert.pem"))
    client.check_hostname = False
    with an_engine(tmp_path, Model(), host="127.0.0.1", secret=SECRET, tls=server) as engine:
        async with a_gateway(engine, secret=SECRET, tls=client) as gateway:
            outcome = await gateway.run(a_batch(7, columns=40_000))
            assert outcome.outputs is not None
            assert (outcome.outputs[0] == 14).all()


@pytest.mark.parametrize(
    ("secret", "complaint"),
    [
        (b"another secret of a length", "secret is not the one of this engine"),
        (None, "gateway has no secret"),
    ],
)
async def test_gateway_without_the_secret_is_refused(
    tmp_path: Path, secret: bytes | None, complaint: str
) -> None:
    with an_engine(tmp_path, Model(), host="127.0.0.1", secret=SECRET) as engine:
        async with a_gateway(engine, secret=secret) as gateway:
            await gateway.until(lambda: gateway.state("r") is State.FAILED)
            assert complaint in gateway.executor.replicas()[0].problem
            assert engine.statistics().batches == 0


def test_tcp_needs_a_secret(tmp_path: Path) -> None:
    with (
        pytest.raises(ValueError, match="needs a secret of 16 bytes"),
        an_engine(tmp_path, Model(), host="127.0.0.1", secret=b"short"),
    ):
        pass


@pytest.mark.parametrize(
    ("wanted", "complaint"),
    [
        (WantedModel("other", "1"), "serves model 'm', not 'other'"),
        (WantedModel("m", "2"), "serves version '1', not '2'"),
        (WantedModel("m", "1", "00"), "serves digest"),
    ],
)
async def test_replica_of_something_else_is_refused(
    tmp_path: Path, wanted: WantedModel, complaint: str
) -> None:
    with an_engine(tmp_path, Model()) as engine:
        async with a_gateway(engine, wanted=wanted) as gateway:
            await gateway.until(lambda: gateway.state("r") is State.FAILED)
            assert complaint in gateway.executor.replicas()[0].problem


async def test_replica_of_another_name_is_refused(tmp_path: Path) -> None:
    with an_engine(tmp_path, Model()) as engine:
        async with a_gateway() as gateway:
            gateway.executor.update({"someone": at(engine)})
            await gateway.until(lambda: gateway.state("someone") is State.FAILED)
            assert "it is replica 'r'" in gateway.executor.replicas()[0].problem


async def test_batches_go_to_the_replica_with_the_most_free_slots(tmp_path: Path) -> None:
    models = [Model(), Model()]
    for model in models:
        model.gate.clear()
    with (
        an_engine(tmp_path, models[0], "a") as first,
        an_engine(tmp_path, models[1], "b") as second,
    ):
        async with a_gateway(first, second) as gateway:
            await gateway.until(lambda: gateway.executor.slots == 2)
            batches = [gateway.submit(a_batch(value)) for value in range(4)]
            assert [each.in_flight for each in gateway.executor.replicas()] == [2, 2]
            for model in models:
                model.gate.set()
            answers = [(await batch).outputs for batch in batches]
            assert [a[0][0, 0] for a in answers if a] == [0, 2, 4, 6]


async def test_batch_waits_for_the_first_replica_and_room_is_told(tmp_path: Path) -> None:
    async with a_gateway() as gateway:
        rooms = asyncio.Event()
        gateway.executor.attach(rooms.set)
        waiting = gateway.submit(a_batch(4))
        assert gateway.executor.slots == 0
        with an_engine(tmp_path, Model()) as engine:
            gateway.executor.update({"r": at(engine)})
            async with asyncio.timeout(PATIENCE_S):
                await rooms.wait()
                outcome = await waiting
            assert outcome.outputs is not None
            gateway.executor.update({})
            assert gateway.executor.slots == 0
            await gateway.until(lambda: engine.statistics().connections == 0)


async def test_withdrawn_batch_that_waits_ends_at_once() -> None:
    async with a_gateway() as gateway:
        future: asyncio.Future[Outcome] = gateway.loop.create_future()
        done = future.set_result
        gateway.executor.submit(a_batch(), 1000, done)
        gateway.executor.withdraw(done)
        assert isinstance(future.result().error, DeadlineExceeded)


async def test_withdrawn_batch_that_is_queued_at_the_engine_is_not_run(tmp_path: Path) -> None:
    model = Model()
    model.gate.clear()
    with an_engine(tmp_path, model) as engine:
        async with a_gateway(engine) as gateway:
            await gateway.executor.described()
            first = gateway.submit(a_batch())
            second: asyncio.Future[Outcome] = gateway.loop.create_future()
            done = second.set_result
            gateway.executor.submit(a_batch(), 1000, done)
            await gateway.until(lambda: engine.statistics().queued == 1)
            gateway.executor.withdraw(done)
            assert isinstance((await second).error, DeadlineExceeded)
            model.gate.set()
            assert (await first).outputs is not None
            assert engine.statistics().batches == 1


async def test_declined_batches_come_back_when_there_is_room(tmp_path: Path) -> None:
    model = Model()
    model.gate.clear()
    with an_engine(tmp_path, model, max_queued=1, queue=4) as engine:
        async with a_gateway(engine) as gateway:
            await gateway.executor.described()
            batches = [gateway.submit(a_batch(value)) for value in range(5)]
            await gateway.until(lambda: gateway.metrics.retries["declined"] > 0)
            model.gate.set()
            async with asyncio.timeout(PATIENCE_S):
                outcomes = await asyncio.gather(*batches)
            assert [o.outputs[0][0, 0] for o in outcomes if o.outputs] == [0, 2, 4, 6, 8]


async def test_replica_that_leaves_answers_what_it_has_and_is_hung_up_on(tmp_path: Path) -> None:
    model = Model()
    model.gate.clear()
    with an_engine(tmp_path, model) as engine:
        async with a_gateway(engine) as gateway:
            await gateway.executor.described()
            batch = gateway.submit(a_batch(5))
            gateway.executor.update({})
            assert gateway.executor.slots == 0
            assert gateway.state("r") is State.DRAINING
            model.gate.set()
            assert (await batch).outputs is not None
            await gateway.until(lambda: gateway.executor.replicas() == [])
            await gateway.until(lambda: engine.statistics().connections == 0)


async def test_drain_answers_what_was_taken_and_turns_new_gateways_away(tmp_path: Path) -> None:
    model = Model()
    model.gate.clear()
    with an_engine(tmp_path, model) as engine:
        async with a_gateway(engine) as gateway:
            await gateway.executor.described()
            batch = gateway.submit(a_batch(5))
            await gateway.until(lambda: engine.statistics().running == 1)
            drained = asyncio.create_task(asyncio.to_thread(engine.drain, PATIENCE_S))
            await gateway.until(lambda: gateway.state("r") is State.DRAINING)
            assert gateway.executor.slots == 0
            model.gate.set()
            assert (await batch).outputs is not None
            assert await drained
            await gateway.until(lambda: "draining" in gateway.executor.replicas()[0].problem)


async def test_lost_replica_is_replaced_and_its_batch_answered_once(tmp_path: Path) -> None:
    slow, quick = Model(), Model()
    slow.gate.clear()
    with an_engine(tmp_path, quick, "b") as second:
        async with a_gateway() as gateway:
            with an_engine(tmp_path, slow, "a") as first:
                gateway.executor.update({"a": at(first)})
                await gateway.executor.described()
                batch = gateway.submit(a_batch(8))
                await gateway.until(lambda: first.statistics().running == 1)
                gateway.executor.update({"a": at(first), "b": at(second)})
                await gateway.until(lambda: gateway.executor.slots == 2)
                await asyncio.to_thread(first.close)
                outcome = await batch
            assert outcome.outputs is not None
            assert gateway.metrics.retries["lost"] == 1
            assert second.statistics().batches == 1
            assert gateway.state("a") is State.FAILED


async def test_replica_that_says_it_hangs_is_given_up(tmp_path: Path) -> None:
    slow, quick = Model(), Model()
    slow.gate.clear()
    with (
        an_engine(tmp_path, slow, "a", stall_s=0.1) as first,
        an_engine(tmp_path, quick, "b") as second,
    ):
        async with a_gateway(first) as gateway:
            await gateway.executor.described()
            batch = gateway.submit(a_batch(8))
            await gateway.until(lambda: first.statistics().running == 1)
            gateway.executor.update({"a": at(first), "b": at(second)})
            outcome = await asyncio.wait_for(batch, PATIENCE_S)
            assert outcome.outputs is not None
            await gateway.until(
                lambda: "running one batch" in gateway.executor.replicas()[0].problem
            )
            with pytest.raises(Unavailable, match="a batch has been running"):
                first.health()
            slow.gate.set()
            await gateway.until(lambda: gateway.state("a") is State.READY)
            first.health()


class Silent:
    """Listens as an engine does, and says nothing after the preamble or after the hello."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(mode=0o700)
        self.path = path
        self.connections: list[socket.socket] = []

    async def __aenter__(self) -> Silent:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(preamble())
            await reader.read()
            writer.close()

        self._server = await asyncio.start_unix_server(serve, self.path)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()


async def test_engine_that_does_not_speak_is_given_up(tmp_path: Path) -> None:
    async with (
        Silent(tmp_path / "s" / "a.sock") as silent,
        a_gateway(handshake_timeout_s=0.1) as gateway,
    ):
        gateway.executor.update({"a": Endpoint(path=str(silent.path))})
        await gateway.until(lambda: gateway.state("a") is State.FAILED)
        assert "did not answer in time" in gateway.executor.replicas()[0].problem


async def test_gateway_that_does_not_greet_is_hung_up_on(tmp_path: Path) -> None:
    with an_engine(tmp_path, Model(), handshake_timeout_s=0.1) as engine:
        reader, writer = await asyncio.open_unix_connection(engine._options.socket)
        async with asyncio.timeout(PATIENCE_S):
            await reader.read()
        writer.close()
        reader, writer = await asyncio.open_unix_connection(engine._options.socket)
        writer.write(preamble())
        async with asyncio.timeout(PATIENCE_S):
            await reader.read()
        writer.close()


async def test_connections_beyond_the_limit_are_refused(tmp_path: Path) -> None:
    with an_engine(tmp_path, Model(), max_connections=1) as engine:
        async with a_gateway(engine) as first:
            await first.executor.described()
            async with a_gateway(engine) as second:
                await second.until(lambda: second.state("r") is State.FAILED)
            assert (await first.run(a_batch())).outputs is not None


async def test_strangers_keep_no_gateway_out(tmp_path: Path) -> None:
    secret = b"sixteen bytes or more"
    with an_engine(
        tmp_path,
        Model(),
        host="127.0.0.1",
        socket=tmp_path / "sockets/r.sock",
        secret=secret,
        max_connections=2,
        handshake_timeout_s=60,
    ) as engine:
        strangers = [await asyncio.open_connection("127.0.0.1", engine.port) for _ in range(5)]
        # The oldest have had to go.
        for reader, _ in strangers[:3]:
            await asyncio.wait_for(reader.read(), PATIENCE_S)
        async with a_gateway(secret=secret) as gateway:
            gateway.executor.update({"r": Endpoint(path=str(engine._options.socket))})
            await gateway.executor.described()
            async with a_gateway(secret=secret) as other:
                other.executor.update({"r": Endpoint(host="127.0.0.1", port=engine.port)})
                await other.executor.described()
                assert (await other.run(a_batch())).outputs is not None
            assert engine.statistics().connections <= 2
        for _, writer in strangers:
            writer.close()
        # Nor do they hold up its end.
        last = await asyncio.open_connection("127.0.0.1", engine.port)
        assert await asyncio.to_thread(engine.drain, PATIENCE_S)
        last[1].close()


async def test_batch_beyond_the_limit_is_not_sent(tmp_path: Path) -> None:
    with an_engine(tmp_path, Model()) as engine:
        async with a_gateway(engine, limits=Limits(max_payload=1024)) as gateway:
            await gateway.executor.described()
            outcome = await gateway.run(a_batch(columns=1000))
            assert isinstance(outcome.error, TooLarge)


async def test_gateway_that_reads_no_answers_is_not_read_either(tmp_path: Path) -> None:
    with an_engine(tmp_path, Model(), shared_bytes=0, queue=30) as engine:
        async with a_gateway(engine, shared_bytes=0, ping_s=60) as gateway:
            await gateway.executor.described()
            replica = gateway.executor._order[0]
            assert replica.connection is not None
            transport = replica.connection.transport
            assert transport is not None
            transport.pause_reading()
            batches = [gateway.submit(a_batch(value, columns=500_000)) for value in range(20)]
            (connection,) = engine._running_state().connections
            await gateway.until(lambda: not connection.writable)
            assert engine.statistics().batches < 20
            transport.resume_reading()
            async with asyncio.timeout(PATIENCE_S):
                outcomes = await asyncio.gather(*batches)
            assert [o.outputs[0][0, 0] for o in outcomes if o.outputs] == list(range(0, 40, 2))


async def test_what_cannot_be_sent_is_an_error() -> None:
    async with a_gateway() as gateway:
        batch = Batch((np.array([object()], dtype=object),), 1)
        outcome = await gateway.run(batch)
        assert isinstance(outcome.error, BackendError)
        assert "cannot be sent" in str(outcome.error)


async def test_described_fails_when_the_executor_is_closed() -> None:
    async with a_gateway() as gateway:
        described = asyncio.create_task(gateway.executor.described())
        await asyncio.sleep(0)
        gateway.executor.close()
        with pytest.raises(Unavailable):
            await described


async def test_replica_is_told_what_waits_for_it(tmp_path: Path) -> None:
    with an_engine(tmp_path, Model()) as engine:
        async with a_gateway(engine) as one, a_gateway(engine) as other:
            assert engine.waiting_ns() == 0
            one.executor.waiting_ns = lambda: 2_000
            other.executor.waiting_ns = lambda: 1_000
            await one.until(lambda: engine.waiting_ns() == 3_000)
            other.executor.close()
            await one.until(lambda: engine.waiting_ns() == 2_000)


async def test_batch_that_is_left_without_a_replica_asks_for_one(tmp_path: Path) -> None:
    model = Model()
    model.gate.clear()
    asked = asyncio.Event()
    with an_engine(tmp_path, model) as engine:
        async with a_gateway(engine) as gateway:
            gateway.executor.on_starved = asked.set
            await gateway.executor.described()
            batch = gateway.submit(a_batch())
            await gateway.until(lambda: engine.statistics().running == 1)
            assert not asked.is_set()
            await asyncio.to_thread(engine.close)
            await asyncio.wait_for(asked.wait(), PATIENCE_S)
            asked.clear()
            assert not batch.done()
            gateway.submit(a_batch())
            assert asked.is_set()
