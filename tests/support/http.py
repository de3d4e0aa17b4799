"""A data plane, a transport and a client of the HTTP tests: small, in memory, and obedient."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from concurrent.futures import Executor, Future
from pathlib import Path
from typing import Any

import numpy as np

from serve.clock import FakeClock
from serve.config import HttpSettings
from serve.errors import Code, NotFound, PenstockError
from serve.gateway.interface import Outcome, Sink, Ticket, Together
from serve.protocol.status import DEFAULT, StatusTable
from serve.repository.override import Override
from serve.tensors import InferRequest, InferResponse, RequestBlock, Signature, Tensor, TensorSpec
from serve.transport.http.connection import Connection
from serve.transport.http.context import Context
from serve.transport.http.server import error_counter
from serve.transport.http.v2 import v2_routes
from tests.support.futures import done

TLS_CERT = Path(__file__).with_name("tls_cert.pem")
TLS_KEY = Path(__file__).with_name("tls_key.pem")


class FakeTicket:
    """Notes that its request was withdrawn."""

    def __init__(self, cancelled: list[int], index: int) -> None:
        self.cancelled = cancelled
        self.index = index

    def cancel(self) -> None:
        self.cancelled.append(self.index)


class FakePlane:
    """Knows one model, ``echo``, whose output is its first input.

    With ``auto`` every request is answered at once; else ``answer`` does it by index.
    """

    def __init__(self, *, auto: bool = True) -> None:
        self.auto = auto
        self.refusal: Exception | None = None
        self.live = self.ready = self.model_is_ready = True
        self.requests: list[InferRequest] = []
        self.sinks: list[Sink] = []
        self.cancelled: list[int] = []
        self.errors: list[tuple[str, Code, str]] = []
        self.calls: list[tuple[Any, ...]] = []

    def submit(self, request: InferRequest, sink: Sink, together: Together | None = None) -> Ticket:
        self._known(request.model_name)
        if self.refusal is not None:
            raise self.refusal
        self.requests.append(request)
        self.sinks.append(sink)
        if self.auto:
            self.answer(-1)
        return FakeTicket(self.cancelled, len(self.requests) - 1)

    def submit_block(
        self, block: RequestBlock, sinks: Sequence[Sink], together: Together
    ) -> list[Ticket | PenstockError]:
        return [
            self.submit(request, sink) for request, sink in zip(block.split(), sinks, strict=True)
        ]

    def answer(self, index: int) -> None:
        request = self.requests[index]
        first = request.inputs[0]
        output = Tensor("y", first.datatype, first.array)
        self.sinks[index].answered(InferResponse(request.model_name, "1", [output], request.id))

    def _known(self, model_name: str) -> None:
        if model_name != "echo":
            raise NotFound(f"Request for unknown model: '{model_name}' is not found")

    def signature(self, model_name: str, model_version: str) -> Signature:
        self._known(model_name)
        spec = TensorSpec("x", "FP32", (-1,))
        return Signature((spec,), (spec,), batched=False)

    def server_live(self) -> bool:
        return self.live

    def server_ready(self) -> bool:
        return self.ready

    def model_ready(self, model_name: str, model_version: str) -> bool:
        self._known(model_name)
        return self.model_is_ready

    def server_metadata(self) -> dict[str, Any]:
        return {"name": "penstock", "version": "1", "extensions": []}

    def model_metadata(self, model_name: str, model_version: str) -> dict[str, Any]:
        self._known(model_name)
        return {"name": model_name, "versions": [model_version]}

    def model_config(self, model_name: str, model_version: str) -> dict[str, Any]:
        self._known(model_name)
        return {"name": model_name, "max_batch_size": 8}

    def statistics(self, model_name: str = "", model_version: str = "") -> dict[str, Any]:
        return {"model_stats": [{"name": model_name, "version": model_version}]}

    def repository_index(self, ready_only: bool) -> asyncio.Future[list[dict[str, Any]]]:
        return done([{"name": "echo", "state": "READY", "ready_only": ready_only}])

    def load_model(self, model_name: str, override: Override) -> asyncio.Future[None]:
        self.calls.append(("load", model_name, override))
        return done(None)

    def unload_model(self, model_name: str) -> asyncio.Future[None]:
        self.calls.append(("unload", model_name))
        return done(None)

    def feedback(self, model_name: str, outcomes: Sequence[Outcome]) -> None:
        self._known(model_name)
        self.calls.append(("feedback", model_name, list(outcomes)))

    def count_error(self, protocol: str, code: Code, model_name: str) -> None:
        self.errors.append((protocol, code, model_name))


class InlineExecutor(Executor):
    """Runs the work at once, in the caller's thread."""

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future


class FakeTransport(asyncio.Transport):
    """Keeps what is written, and what the connection asked for."""

    def __init__(self, protocol: asyncio.BaseProtocol) -> None:
        super().__init__()
        self.protocol = protocol
        self.written = bytearray()
        self.unsent_bytes = 0
        self.paused = self.eof_written = self.closed = self.aborted = False

    def write(self, data: Any) -> None:
        assert not self.closed and not self.eof_written
        self.written += bytes(data)

    def writelines(self, parts: Any) -> None:
        self.write(b"".join(parts))

    def write_eof(self) -> None:
        self.eof_written = True

    def can_write_eof(self) -> bool:
        return True

    def close(self) -> None:
        self.closed = True

    def abort(self) -> None:
        self.closed = self.aborted = True

    def is_closing(self) -> bool:
        return self.closed

    def pause_reading(self) -> None:
        self.paused = True

    def resume_reading(self) -> None:
        self.paused = False

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self.protocol = protocol

    def get_write_buffer_size(self) -> int:
        return self.unsent_bytes


class Reply:
    """One parsed answer."""

    def __init__(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.status, self.headers, self.body = status, headers, body

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def parse_replies(data: bytes, *, bodiless: bool = False) -> list[Reply]:
    """All answers in a byte stream, which must end with the last of them."""
    replies = []
    while data:
        top, _, data = data.partition(b"\r\n\r\n")
        first, *lines = top.decode().split("\r\n")
        headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
        length = 0 if bodiless else int(headers.get("content-length", "0"))
        assert len(data) >= length
        replies.append(Reply(int(first.split()[1]), headers, data[:length]))
        data = data[length:]
    return replies


class Wire:
    """A connection of its own context on a fake transport, driven by raw bytes."""

    def __init__(
        self,
        plane: FakePlane,
        status: StatusTable = DEFAULT,
        context: Context | None = None,
        **settings: Any,
    ) -> None:
        self.plane = plane
        self.clock = FakeClock(10**12)
        self.context = context or Context(
            routes=v2_routes(plane, status),
            settings=HttpSettings(**settings),
            clock=self.clock,
            status=status,
            count_error=error_counter(plane),
            loop=asyncio.get_running_loop(),
            pool=InlineExecutor(),
        )
        self.context.call_soon = lambda step: step()  # every request is a turn of its own
        self.connection = Connection(self.context)
        self.transport = FakeTransport(self.connection)
        self.connection.connection_made(self.transport)

    def send(self, data: bytes) -> None:
        """Deliver bytes the way a transport would, whichever protocol it has."""
        while data and not self.transport.closed:
            protocol: Any = self.transport.protocol
            if hasattr(protocol, "get_buffer"):
                buffer = protocol.get_buffer(-1)
                size = min(len(buffer), len(data), 100_000)
                assert size
                buffer[:size] = data[:size]
                protocol.buffer_updated(size)
                data = data[size:]
            else:
                protocol.data_received(data[: 256 * 1024])
                data = data[256 * 1024 :]

    def hang_up(self) -> None:
        """The client is gone without a word."""
        self.transport.protocol.connection_lost(None)  # type: ignore[attr-defined]

    def advance_s(self, seconds: float) -> None:
        """Let time pass, then sweep."""
        self.clock.advance_ms(seconds * 1000)
        self.connection.sweep(self.clock())

    @property
    def replies(self) -> list[Reply]:
        return parse_replies(bytes(self.transport.written))

    @property
    def reply(self) -> Reply:
        (reply,) = self.replies
        return reply


async def settle() -> None:
    """Let every callback that is due run."""
    for _ in range(5):
        await asyncio.sleep(0)


def infer_body(values: list[float], **fields: Any) -> bytes:
    """A JSON inference request of one FP32 vector."""
    tensor = {"name": "x", "shape": [len(values)], "datatype": "FP32", "data": values}
    return json.dumps({"inputs": [tensor], **fields}).encode()


def binary_body(values: np.ndarray) -> tuple[bytes, int]:
    """A request with one FP32 vector as binary data, and the length of its JSON."""
    parameters = {"binary_data_size": values.nbytes}
    shape = list(values.shape)
    tensor = {"name": "x", "shape": shape, "datatype": "FP32", "parameters": parameters}
    message = {"inputs": [tensor], "parameters": {"binary_data_output": True}}
    text = json.dumps(message).encode()
    return text + values.tobytes(), len(text)


def post(
    body: bytes, path: str = "/v2/models/echo/infer", *, length: int | None = None, **headers: str
) -> bytes:
    """A POST; header names are keyword arguments with ``_`` for ``-``."""
    lines = [f"POST {path} HTTP/1.1", "Host: localhost", f"Content-Length: {length or len(body)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + body


def get(path: str, method: str = "GET", version: str = "1.1", **headers: str) -> bytes:
    """A request without a body."""
    lines = [f"{method} {path} HTTP/{version}", "Host: localhost"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode()


def chunked(body: bytes, size: int, path: str = "/v2/models/echo/infer") -> bytes:
    """A POST with a chunked body."""
    pieces = [body[at : at + size] for at in range(0, len(body), size)]
    framed = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces)
    top = f"POST {path} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
    return top + framed + b"0\r\n\r\n"
