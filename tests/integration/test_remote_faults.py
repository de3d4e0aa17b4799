"""A gateway in front of engines in processes of their own, to which bad things happen."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path

import numpy as np
import pytest

from serve.errors import DeadlineExceeded, Unavailable
from serve.executors.remote.executor import RemoteExecutor
from serve.executors.remote.options import Endpoint, RemoteOptions
from serve.executors.remote.replica import State
from serve.tensors import InferRequest, Tensor
from tests.support.remote import EngineProcess, StaticGateway, engine_process

PATIENCE_S = 60
KILLS, HANGS = 666.0, 777.0

MODEL = f"""
import os, signal, time
import numpy as np

class Model:
    def predict(self, inputs):
        x = inputs["x"]
        if (x == {KILLS}).any():
            os.kill(os.getpid(), signal.SIGKILL)
        if (x == {HANGS}).any():
            time.sleep(3600)
        return {{"y": x * 2}}
"""
SETTINGS = """
backend: python
batching: {max_batch_size: 64, max_queue_rows: 100000}
inputs: {x: {datatype: FP32, shape: [-1, -1]}}
outputs: {y: {datatype: FP32, shape: [-1, -1]}}
"""


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("repository") / "doubler"
    (folder / "1").mkdir(parents=True)
    (folder / "1" / "model.py").write_text(MODEL)
    (folder / "model.yaml").write_text(SETTINGS)
    return folder


class Bench:
    """Engines, a gateway in this loop, and how to ask it."""

    def __init__(self, model: Path, sockets: Path, options: RemoteOptions) -> None:
        self._model = model
        self._sockets = sockets
        self.gateway = StaticGateway(model, options)
        self.engines: dict[str, EngineProcess] = {}
        self.stack = ExitStack()

    @property
    def executor(self) -> RemoteExecutor:
        return self.gateway.executor

    def start_engine(self, name: str, *arguments: str) -> EngineProcess:
        """Run an engine; the gateway is told with ``tell``."""
        context = engine_process(
            self._model, name, *arguments, socket=self._sockets / f"{name}.sock"
        )
        self.engines[name] = self.stack.enter_context(context)
        return self.engines[name]

    def tell(self) -> None:
        """The gateway learns which engines there are."""
        self.executor.update({name: each.endpoint for name, each in self.engines.items()})

    async def ask(self, value: float, columns: int = 1, timeout_s: float = PATIENCE_S) -> float:
        """One row of ``value``; the answer, once it is known to be the same in all columns."""
        x = np.full((1, columns), value, np.float32)
        request = InferRequest("doubler", "", [Tensor("x", "FP32", x)])
        request.parameters = {"timeout": int(timeout_s * 1e6)}
        response = await self.gateway.gateway.infer(request)
        (answer,) = response.outputs
        assert answer.array.shape == (1, columns)
        assert (answer.array == answer.array[0, 0]).all()
        return float(answer.array[0, 0])

    async def until(self, condition: Callable[[], bool]) -> None:
        """Let the loop turn until the condition holds; the test fails if it never does."""
        async with asyncio.timeout(PATIENCE_S):
            while not condition():  # noqa: ASYNC110
                await asyncio.sleep(0.005)

    def ready(self) -> list[str]:
        return [each.name for each in self.executor.replicas() if each.state is State.READY]


@asynccontextmanager
async def running(
    model: Path, tmp_path: Path, engines: int, *arguments: str, **options: object
) -> AsyncIterator[Bench]:
    settings = {"ping_s": 0.05, "backoff_s": (0.01, 0.1), **options}
    bench = Bench(model, tmp_path / "s", RemoteOptions(**settings))  # type: ignore[arg-type]
    with bench.stack:
        for number in range(engines):
            bench.start_engine(f"engine{number}", *arguments)
        await bench.gateway.start({name: e.endpoint for name, e in bench.engines.items()})
        await bench.until(lambda: len(bench.ready()) == engines)
        try:
            yield bench
        finally:
            await bench.gateway.stop()


async def test_killed_engine_costs_no_answer(model: Path, tmp_path: Path) -> None:
    async with running(model, tmp_path, 2) as bench:
        answered = 0
        killed = asyncio.Event()

        async def client(number: int) -> None:
            nonlocal answered
            for turn in range(200):
                value = float(number * 1000 + turn) / 8
                if value in (KILLS, HANGS):
                    continue
                assert await bench.ask(value) == 2 * value
                answered += 1
                if answered == 800:
                    bench.engines["engine0"].kill()
                    killed.set()

        async with asyncio.timeout(PATIENCE_S):
            await asyncio.gather(*[client(number) for number in range(16)])
        assert killed.is_set()
        assert answered >= 3100
        assert bench.ready() == ["engine1"]


async def test_poison_is_given_up_and_harms_no_other(model: Path, tmp_path: Path) -> None:
    async with running(model, tmp_path, 4) as bench:
        poison = asyncio.ensure_future(bench.ask(KILLS))
        await bench.until(lambda: len(bench.ready()) < 4)

        async def client(number: int) -> None:
            for turn in range(30):
                assert await bench.ask(number + turn) == 2 * (number + turn)

        async with asyncio.timeout(PATIENCE_S):
            await asyncio.gather(*[client(number) for number in range(8)])
            with pytest.raises(Unavailable, match=r"3 replicas of model 'doubler' were lost"):
                await poison
        assert len(bench.ready()) == 1
        metrics = bench.gateway.version_metrics.replicas
        assert metrics is not None
        assert metrics.given_up == 1
        assert metrics.retries["lost"] >= 2


async def test_innocent_requests_in_the_batch_of_a_poison_are_answered(
    model: Path, tmp_path: Path
) -> None:
    async with running(model, tmp_path, 4) as bench:
        values = (1.0, 2.0, KILLS, 3.0)
        async with asyncio.timeout(PATIENCE_S):
            # In one turn of the loop, and so in one batch.
            answers = await asyncio.gather(
                *[bench.ask(value) for value in values], return_exceptions=True
            )
        poison = answers.pop(2)
        assert isinstance(poison, Unavailable)
        assert "3 replicas of model 'doubler' were lost" in str(poison)
        assert answers == [2.0, 4.0, 6.0]
        assert len(bench.ready()) == 1


async def test_batch_that_hangs_is_answered_in_time_and_the_engine_left(
    model: Path, tmp_path: Path
) -> None:
    async with running(model, tmp_path, 1, "--stall-timeout", "0.2") as bench:
        hanging = asyncio.ensure_future(bench.ask(HANGS, timeout_s=0.5))
        await bench.until(lambda: not bench.ready())
        with pytest.raises(DeadlineExceeded):
            await hanging
        bench.start_engine("spare")
        bench.tell()
        assert await bench.ask(3) == 6
        status = bench.executor.replicas()[0]
        assert "one batch for" in status.problem


async def test_engine_that_is_stopped_is_given_up(model: Path, tmp_path: Path) -> None:
    async with running(model, tmp_path, 1, silent_s=0.3) as bench:
        os.kill(bench.engines["engine0"].process.pid, 19)  # SIGSTOP: it is there, and says nothing
        asked = asyncio.ensure_future(bench.ask(4))
        bench.start_engine("spare")
        bench.tell()
        assert await asked == 8
        assert "no sign of life" in bench.executor.replicas()[0].problem
        # Bigger than the socket takes: what waits for an engine that does not read is bounded.
        assert bench.executor.replicas()[0].in_flight == 0


async def test_requests_wait_for_a_replica_up_to_their_deadline(
    model: Path, tmp_path: Path
) -> None:
    async with running(model, tmp_path, 1) as bench:
        bench.engines.pop("engine0").kill()
        await bench.until(lambda: not bench.ready())
        bench.tell()
        waiting = asyncio.ensure_future(bench.ask(5))
        with pytest.raises(DeadlineExceeded):
            await bench.ask(6, timeout_s=0.2)
        bench.start_engine("next")
        bench.tell()
        assert await waiting == 10


async def test_large_batches_leave_nothing_behind_after_a_crash(
    model: Path, tmp_path: Path
) -> None:
    shared = set(os.listdir("/dev/shm"))
    async with running(model, tmp_path, 1) as bench:
        assert await bench.ask(7, columns=3_000_000) == 14
        descriptors = len(os.listdir("/proc/self/fd"))
        bench.engines["engine0"].kill()
        await bench.until(lambda: not bench.ready())
        assert set(os.listdir("/dev/shm")) <= shared
        assert os.listdir(tmp_path / "s") == ["engine0.sock"]
        bench.start_engine("engine0")  # the name of one that was killed is free again
        await bench.until(lambda: bench.ready() == ["engine0"])
        assert os.listdir(tmp_path / "s") == ["engine0.sock"]
        assert await bench.ask(8, columns=3_000_000) == 16
        await bench.until(lambda: len(os.listdir("/proc/self/fd")) <= descriptors + 4)


async def test_engine_that_is_told_to_end_answers_what_it_has(model: Path, tmp_path: Path) -> None:
    async with running(model, tmp_path, 2) as bench:
        ending = asyncio.to_thread(bench.engines["engine0"].drain)

        async def client(number: int) -> None:
            for turn in range(100):
                assert await bench.ask(number + turn) == 2 * (number + turn)

        code, *_ = await asyncio.gather(ending, *[client(number) for number in range(8)])
        assert code == 0
        metrics = bench.gateway.version_metrics.replicas
        assert metrics is not None
        assert metrics.retries["lost"] == 0
        assert os.listdir(tmp_path / "s") == ["engine1.sock"]


async def test_batches_go_over_tcp_with_the_secret_alone(model: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(b"a secret of many characters")
    arguments = ("--host", "127.0.0.1", "--secret-file", str(secret))
    with engine_process(model, "far", *arguments) as engine:
        knows = StaticGateway(model, RemoteOptions(secret=secret.read_bytes()))
        guesses = RemoteOptions(secret=b"guess of many characters", backoff_s=(0.01, 0.1))
        stranger = StaticGateway(model, guesses)
        address = {"far": Endpoint(host="127.0.0.1", port=engine.ready["port"])}
        await knows.start(address)
        stranger.executor.update(address)
        x = np.ones((1, 500_000), np.float32)
        request = InferRequest("doubler", "", [Tensor("x", "FP32", x)])
        response = await knows.gateway.infer(request)
        assert (response.outputs[0].array == 2).all()
        async with asyncio.timeout(PATIENCE_S):
            while stranger.executor.replicas()[0].state is not State.FAILED:  # noqa: ASYNC110
                await asyncio.sleep(0.005)
        assert "secret is not the one" in stranger.executor.replicas()[0].problem
        await knows.stop()
        stranger.executor.close()
