"""Engines in processes of their own, and a gateway in front of them, for tests and benchmarks.

``python -m tests.support.remote MODEL_FOLDER SOCKET…`` serves HTTP from engines at these sockets.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvloop

from serve.clock import monotonic_ns
from serve.config import HttpSettings
from serve.executors.remote.executor import RemoteExecutor
from serve.executors.remote.live import go_live_remote
from serve.executors.remote.options import Endpoint, RemoteOptions, WantedModel
from serve.gateway.caching import EndpointMaker
from serve.gateway.dataplane import Gateway
from serve.gateway.endpoint import Endpoint as ModelEndpoint
from serve.monitoring.metrics import ReplicaMetrics, ServerMetrics
from serve.protocol.status import DEFAULT
from serve.repository.scan import scan_model
from serve.repository.table import ModelTable
from serve.transport.http.server import HttpServer, create_http_server

PATIENCE_S = 60


@dataclass
class EngineProcess:
    """A running engine; ``endpoint`` is where it listens."""

    name: str
    process: subprocess.Popen[bytes]
    ready: Mapping[str, Any]

    @property
    def endpoint(self) -> Endpoint:
        return Endpoint(self.ready["socket"], self.ready["host"], self.ready["port"])

    def kill(self) -> None:
        """``kill -9``."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(PATIENCE_S)

    def drain(self) -> int:
        """Ask it to end; its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(PATIENCE_S)


@contextmanager
def engine_process(
    model: Path, name: str, *arguments: str, socket: Path | None = None
) -> Iterator[EngineProcess]:
    """Run an engine until the block ends, or this process does."""
    command = [sys.executable, "-m", "serve.executors.remote.process"]
    command += ["--model", str(model), "--replica", name, "--until-stdin-ends", *arguments]
    command += ["--log-level", os.environ.get("ENGINE_LOG", "error")]
    if socket is not None:
        command += ["--socket", str(socket)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        try:
            line = process.stdout.readline()
            assert line, "the engine did not start"
            yield EngineProcess(name, process, json.loads(line))
        finally:
            process.kill()


class StaticGateway:
    """HTTP in front of replicas of one model, which are given and not discovered."""

    def __init__(self, model: Path, options: RemoteOptions | None = None) -> None:
        self._entry = scan_model(model)
        loop = asyncio.get_running_loop()
        version = str(self._entry.versions[-1].number)
        self.metrics = ServerMetrics()
        self.version_metrics = self.metrics.version(self._entry.name, version)
        self.version_metrics.replicas = ReplicaMetrics()
        self.executor = RemoteExecutor(
            WantedModel(self._entry.name, version),
            options or RemoteOptions(),
            self.version_metrics.replicas,
            monotonic_ns,
            loop,
        )
        table: ModelTable[ModelEndpoint] = ModelTable()
        self._table = table
        self.gateway = Gateway(
            table,
            self.metrics,
            monotonic_ns,
            server_name="penstock",
            epoch_offset_ns=time.time_ns() - monotonic_ns(),
        )
        self.http: HttpServer = create_http_server(
            self.gateway, HttpSettings(host="127.0.0.1", port=0), monotonic_ns, DEFAULT
        )

    async def start(self, endpoints: Mapping[str, Endpoint]) -> None:
        """Serve, once the first replica is there."""
        self.executor.update(endpoints)
        description = await self.executor.described()
        live = go_live_remote(
            description,
            self._entry.config,
            self.executor,
            self.version_metrics,
            monotonic_ns,
            asyncio.get_running_loop(),
        )
        make = EndpointMaker(2**20, asyncio.get_running_loop())
        endpoint = make(live, monotonic_ns)
        self._table.set_ready(self._entry.name, int(description.version), endpoint)
        self.gateway.set_serving()
        await self.http.start()

    async def stop(self) -> None:
        """Close everything."""
        await self.http.stop(0)
        for endpoint in list(self._table.handles()):
            endpoint.live.close()
        self.executor.close()


async def _main(model: Path, sockets: list[Path]) -> None:
    gateway = StaticGateway(model)
    await gateway.start({path.stem: Endpoint(str(path)) for path in sockets})
    print(gateway.http.port, flush=True)
    over = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, over.set)
    await over.wait()
    await gateway.stop()


if __name__ == "__main__":
    uvloop.run(_main(Path(sys.argv[1]), [Path(path) for path in sys.argv[2:]]))
