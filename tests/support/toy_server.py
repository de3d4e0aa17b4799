"""A small inference server for the benchmarks' tests, which knows one model and runs none.

python -m tests.support.toy_server --http-port N --admin-port N [--spin-us 0] …
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import signal
import subprocess
import sys
import time

SIGNATURE = {
    "name": "toy",
    "inputs": [
        {"name": "x", "datatype": "FP32", "shape": [-1, 3]},
        {"name": "word", "datatype": "BYTES", "shape": [-1, 1]},
    ],
    "outputs": [{"name": "y", "datatype": "FP32", "shape": [-1, 1]}],
}
ANSWERS = {
    "GET /v2": {"name": "toy", "extensions": []},
    "GET /v2/health/ready": {},
    "POST /v2/repository/index": [
        {"name": "broken", "state": "UNAVAILABLE"},
        {"name": "toy", "state": "READY"},
    ],
    "GET /v2/models/toy": SIGNATURE,
    "POST /v2/models/toy/infer": {
        "model_name": "toy",
        "outputs": [{"name": "y", "datatype": "FP32", "shape": [1, 1], "data": [0.5]}],
    },
}
METRICS = 'penstock_batch_rows_bucket{{le="{bound}",model="toy",version="1"}} {count}\n'
_LENGTH = re.compile(rb"content-length: (\d+)", re.IGNORECASE)


class Toy:
    """Counts requests; each is a batch of one row."""

    def __init__(
        self, spin_us: float, refuse_every: int, replicas: list[subprocess.Popen[bytes]]
    ) -> None:
        self._spin_s = spin_us / 1e6
        self._refuse_every = refuse_every
        self._requests = 0
        self._replicas = replicas

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer every request of a connection."""
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                if length := _LENGTH.search(head):
                    await reader.readexactly(int(length[1]))
                writer.write(self._answer(" ".join(head.decode().split(" ", 2)[:2])))
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            writer.close()

    def _answer(self, request: str) -> bytes:
        if request == "GET /metrics":
            return _http(200, "".join(self._buckets()).encode())
        if request == "GET /status":
            return _http(200, json.dumps(self._status()).encode())
        if request not in ANSWERS:
            return _http(404, b"{}")
        if request.endswith("/infer"):
            self._requests += 1
            until_s = time.perf_counter() + self._spin_s
            while time.perf_counter() < until_s:
                pass
            if self._refuse_every and self._requests % self._refuse_every == 0:
                return _http(503, b"{}", "Retry-After: 1\r\n")
        return _http(200, json.dumps(ANSWERS[request]).encode())

    def _status(self) -> dict[str, object]:
        members = [
            {"name": str(one.pid), "state": "ready", "pid": one.pid}
            for one in self._replicas
            if one.poll() is None
        ]
        replicas = {"ready": len(members), "members": members}
        toy = {"name": "toy", "version": "1", "state": "READY", "replicas": replicas}
        return {"remote": bool(self._replicas), "models": [toy]}

    def _buckets(self) -> list[str]:
        return [METRICS.format(bound=bound, count=self._requests) for bound in ("1.0", "+Inf")]


def _http(status: int, body: bytes, headers: str = "") -> bytes:
    return f"HTTP/1.1 {status} X\r\n{headers}Content-Length: {len(body)}\r\n\r\n".encode() + body


async def run(arguments: argparse.Namespace, replicas: list[subprocess.Popen[bytes]]) -> None:
    """Until SIGTERM."""
    toy, stop = Toy(arguments.spin_us, arguments.refuse_every, replicas), asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    server = await asyncio.start_server(toy.serve, "127.0.0.1", arguments.http_port, backlog=1024)
    admin = await asyncio.start_server(toy.serve, "127.0.0.1", arguments.admin_port)
    await stop.wait()
    server.close()
    admin.close()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--http-port", type=int, required=True)
    parser.add_argument("--admin-port", type=int, required=True)
    parser.add_argument("--spin-us", type=float, default=0.0)
    parser.add_argument("--refuse-every", type=int, default=0)
    parser.add_argument("--replicas", type=int, default=0, help="Processes that only wait.")
    arguments = parser.parse_args()
    wait = [sys.executable, "-c", "input()", "EngineReplica"]
    replicas = [subprocess.Popen(wait, stdin=subprocess.PIPE) for _ in range(arguments.replicas)]
    try:
        asyncio.run(run(arguments, replicas))
    finally:
        for replica in replicas:
            replica.kill()
            replica.wait()


if __name__ == "__main__":
    main()
