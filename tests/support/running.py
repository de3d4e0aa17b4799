"""A whole server for tests, in a thread with a loop of its own, on free ports."""

from __future__ import annotations

import asyncio
import re
import threading
import urllib.request
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import uvloop

from serve.app import App
from serve.config import AdminSettings, GrpcSettings, HttpSettings, ServerSettings

T = TypeVar("T")
PATIENCE_S = 60


def free_ports(**settings: Any) -> ServerSettings:
    """Settings of a server on loopback whose three ports the system chooses."""
    return ServerSettings(
        http=HttpSettings(host="127.0.0.1", port=0),
        grpc=GrpcSettings(host="127.0.0.1", port=0),
        admin=AdminSettings(port=0),
        **settings,
    )


def metric_in(page: str, name: str, **labels: str) -> float:
    """The sum of the samples of ``name`` that carry all of ``labels``."""
    total = 0.0
    for line in page.splitlines():
        found = re.match(r"(\w+)(?:\{(.*)\})? (\S+)$", line)
        if found is None or found[1] != name:
            continue
        if all(f'{key}="{value}"' in (found[2] or "") for key, value in labels.items()):
            total += float(found[3])
    return total


class RunningApp:
    """The server in its thread. All methods may be called from any other."""

    def __init__(self, app: App, loop: asyncio.AbstractEventLoop) -> None:
        assert app.http is not None
        assert app.grpc is not None
        assert app.admin is not None
        self._app = app
        self._loop = loop
        self.http = f"127.0.0.1:{app.http.port}"
        self.grpc = f"127.0.0.1:{app.grpc.port}"
        self.admin = f"127.0.0.1:{app.admin.port}"

    def call(self, ask: Callable[[App], Awaitable[T]]) -> T:
        """Run a coroutine on the server's loop."""

        async def asked() -> T:
            return await ask(self._app)

        return asyncio.run_coroutine_threadsafe(asked(), self._loop).result(PATIENCE_S)

    def task_count(self) -> int:
        """Tasks on the server's loop."""

        async def count(_: App) -> int:
            return len(asyncio.all_tasks())

        return self.call(count)

    def metric(self, name: str, **labels: str) -> float:
        """A figure as ``/metrics`` tells it."""
        with urllib.request.urlopen(f"http://{self.admin}/metrics", timeout=PATIENCE_S) as page:
            return metric_in(page.read().decode(), name, **labels)


@contextmanager
def running(
    repository: Path, settings: ServerSettings | None = None, **options: Any
) -> Iterator[RunningApp]:
    """Serve ``repository`` in a thread until the block ends; ``options`` are those of ``App``."""
    started: list[RunningApp] = []
    problems: list[BaseException] = []
    is_up = threading.Event()
    over: list[asyncio.Event] = []

    async def serve() -> None:
        app = App(repository, settings or free_ports(), **options)
        over.append(asyncio.Event())
        await app.start()
        try:
            started.append(RunningApp(app, asyncio.get_running_loop()))
            is_up.set()
            await over[0].wait()
        finally:
            await app.stop(0)

    def run() -> None:
        try:
            uvloop.run(serve())
        except BaseException as problem:
            problems.append(problem)
        finally:
            is_up.set()

    thread = threading.Thread(target=run, name="server-under-test", daemon=True)
    thread.start()
    assert is_up.wait(PATIENCE_S), "the server did not start"
    if problems:
        raise problems[0]
    try:
        yield started[0]
    finally:
        started[0]._loop.call_soon_threadsafe(over[0].set)
        thread.join(PATIENCE_S)
        assert not thread.is_alive(), "the server did not stop"
    if problems:
        raise problems[0]
