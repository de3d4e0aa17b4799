"""The server's life, in one process: start, serve, drain, stop. Signals are in the integration
tests."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import numpy as np
import pytest

from serve.app import App
from serve.config import AdminSettings, GrpcSettings, HttpSettings, ServerSettings
from serve.errors import RepositoryError
from serve.tensors import InferRequest, Tensor
from tests.support import onnx_models
from tests.support.running import free_ports
from tests.support.triton_repository import write


@pytest.fixture(autouse=True)
def _collector_as_it_was() -> Iterator[None]:
    """The app freezes what is loaded and collects less often: not for the tests after it."""
    thresholds = gc.get_threshold()
    yield
    gc.unfreeze()
    gc.set_threshold(*thresholds)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    onnx_models.identity(tmp_path / "models" / "echo" / "1" / "model.onnx")
    return tmp_path / "models"


@pytest.fixture
async def app(repository: Path) -> AsyncIterator[App]:
    app = App(repository, free_ports())
    yield app
    await app.stop(0)


def request() -> InferRequest:
    return InferRequest("echo", "", [Tensor("x", "FP32", np.ones((1, 4), np.float32))])


async def test_app_is_ready_once_every_model_was_tried(app: App) -> None:
    assert not app.gateway.server_ready()
    assert await app.start()
    assert app.gateway.server_ready()
    response = await app.gateway.infer(request())
    assert response.outputs[0].array.tolist() == [[1.0] * 4]


async def test_app_listens_where_it_is_told_and_nowhere_else(repository: Path) -> None:
    settings = ServerSettings(
        http=None, grpc=GrpcSettings(host="127.0.0.1", port=0), admin=AdminSettings(port=0)
    )
    app = App(repository, settings)
    await app.start()
    assert app.http is None
    assert app.grpc is not None
    assert app.grpc.port
    await app.stop(0)


async def test_app_serves_what_it_can_unless_it_is_strict(repository: Path) -> None:
    write(repository, "bad/1/model.onnx", "no graph")
    for strict in (False, True):
        app = App(repository, free_ports(strict=strict))
        assert await app.start() is not strict
        await app.stop(0)


async def test_app_without_a_repository_does_not_start(tmp_path: Path) -> None:
    app = App(tmp_path / "nowhere", free_ports())
    with pytest.raises(RepositoryError, match="nowhere"):
        await app.start()


async def test_app_names_the_port_that_is_taken(app: App, repository: Path) -> None:
    await app.start()
    assert app.http is not None
    taken = HttpSettings(host="127.0.0.1", port=app.http.port)
    other = App(repository, ServerSettings(http=taken, grpc=None, admin=None))
    with pytest.raises(OSError, match="--http-port"):
        await other.start()


async def test_drain_answers_what_was_accepted_and_is_not_ready(app: App) -> None:
    await app.start()
    answer = app.gateway.infer(request())
    drain = asyncio.create_task(app.drain())
    assert (await answer).outputs[0].array.tolist() == [[1.0] * 4]
    await drain
    assert not app.gateway.server_ready()


@pytest.mark.parametrize("stuck", [False, True])
async def test_signal_ends_the_server_even_while_a_model_loads(
    repository: Path, stuck: bool
) -> None:
    gate = repository / "stuck" / "1" / "gate"
    if stuck:
        write(repository, "stuck/model.yaml", "inputs: {x: {datatype: FP32, shape: [-1]}}")
        code = "import pathlib; (pathlib.Path(__file__).parent / 'gate').read_text()"
        write(repository, "stuck/1/model.py", code)
        os.mkfifo(gate)
    app = App(repository, free_ports())
    run = asyncio.create_task(app.run_until_signal())
    while not await app.gateway.repository_index(ready_only=True):  # noqa: ASYNC110 - nobody tells
        await asyncio.sleep(0.001)
    os.kill(os.getpid(), signal.SIGTERM)
    await run
    assert not app.gateway.server_ready()
    if stuck:
        os.close(os.open(gate, os.O_RDWR))


async def test_model_whose_source_cannot_be_followed_is_named(
    repository: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (repository / "echo/model.yaml").write_text("source: models:/echo@champion")
    app = App(repository, free_ports(model_control_mode="poll"))
    assert await app.start()
    await app.stop(0)
    assert "does not follow models:/echo@champion: nobody says where" in caplog.text
    assert "--tracking-uri" in caplog.text
