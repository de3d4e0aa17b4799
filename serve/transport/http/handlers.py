"""The protocol's questions about server, models and repository, as handlers over a data plane."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any, TypeVar

import msgspec

from serve.errors import InvalidRequest, Unsupported
from serve.gateway.interface import DataPlane, Outcome
from serve.protocol.quoting import quoted
from serve.protocol.status import TRITON, StatusTable
from serve.repository.override import FILE, Override, override_of
from serve.transport.http.compression import Buffer
from serve.transport.http.context import LARGE_BODY_BYTES
from serve.transport.http.exchange import Exchange
from serve.transport.http.routes import Handler

__all__ = [
    "answer",
    "feedback_handler",
    "health_handler",
    "index_handler",
    "load_handler",
    "model_handler",
    "model_ready_handler",
    "unload_handler",
    "unsupported_handler",
]


_Body = TypeVar("_Body")


class IndexRequest(msgspec.Struct):
    """Body of a repository index request."""

    ready: bool = False


class ControlRequest(msgspec.Struct):
    """Body of a load or unload request."""

    parameters: dict[str, Any] = {}


class FeedbackRequest(msgspec.Struct, forbid_unknown_fields=True):
    """Body of a feedback request."""

    outcomes: list[Outcome]


def answer(reply: Callable[[], Any]) -> Handler:
    """A handler that answers with ``reply()`` as JSON."""
    return lambda exchange: exchange.reply([msgspec.json.encode(reply())])


def model_handler(reply: Callable[[str, str], Any]) -> Handler:
    """A handler that answers with ``reply(model_name, model_version)`` as JSON."""

    def handle(exchange: Exchange) -> None:
        route = exchange.route
        assert route is not None
        exchange.reply([msgspec.json.encode(reply(route.model_name, route.model_version))])

    return handle


def health_handler(field: str, healthy: Callable[[], bool], status: StatusTable) -> Handler:
    """Liveness or readiness of the server, as ``{"<field>": bool}``.

    The protocol leaves the status of "not ready" open. It is 503 here, which load balancers and
    probes expect of a server that is starting or stopping; with Triton's table it is Triton's 400.
    """
    unhealthy = 400 if status is TRITON else 503

    def handle(exchange: Exchange) -> None:
        well = healthy()
        exchange.reply([msgspec.json.encode({field: well})], status=200 if well else unhealthy)

    return handle


def model_ready_handler(plane: DataPlane) -> Handler:
    """Readiness of a model (400 if not) or of one version of it (503 if not)."""

    def handle(exchange: Exchange) -> None:
        route = exchange.route
        assert route is not None
        ready = plane.model_ready(route.model_name, route.model_version)
        body = msgspec.json.encode({"name": route.model_name, "ready": ready})
        unready = 503 if route.model_version else 400
        exchange.reply([body], status=200 if ready else unready)

    return handle


def index_handler(plane: DataPlane) -> Handler:
    """The repository's models, or with ``{"ready": true}`` those that are ready."""

    def handle(exchange: Exchange) -> None:
        request = _decode(exchange.body, IndexRequest)
        exchange.wait(plane.repository_index(request.ready), _reply_json)

    return handle


def load_handler(plane: DataPlane) -> Handler:
    """Load a model as the repository has it, or with the configuration and files of the body."""

    def load(exchange: Exchange, override: Override) -> None:
        exchange.wait(plane.load_model(exchange.route.model_name, override), _reply_empty)

    def handle(exchange: Exchange) -> None:
        body, context = exchange.body, exchange.context
        if len(body) > LARGE_BODY_BYTES:  # files, which take long to decode
            work = context.loop.run_in_executor(context.pool, _decode_override, bytes(body))
            exchange.wait(work, load)
        else:
            load(exchange, _decode_override(body))

    return handle


def feedback_handler(plane: DataPlane) -> Handler:
    """What became of predictions, for the report of a model's versions."""

    def handle(exchange: Exchange) -> None:
        request = _decode(exchange.body, FeedbackRequest)
        plane.feedback(exchange.route.model_name, request.outcomes)
        exchange.reply([msgspec.json.encode({"counted": len(request.outcomes)})])

    return handle


def unload_handler(plane: DataPlane) -> Handler:
    """Unload a model; there are no dependents, so ``unload_dependents`` changes nothing."""

    def handle(exchange: Exchange) -> None:
        _decode(exchange.body, ControlRequest)
        exchange.wait(plane.unload_model(exchange.route.model_name), _reply_empty)

    return handle


def unsupported_handler(what: str) -> Handler:
    """A path of the protocol that is known and not offered."""

    def handle(exchange: Exchange) -> None:
        raise Unsupported(f"{what} not offered by this server")

    return handle


def _reply_json(exchange: Exchange, reply: Any) -> None:
    exchange.reply([msgspec.json.encode(reply)])


def _reply_empty(exchange: Exchange, _: None) -> None:
    exchange.reply([])


def _decode_override(body: Buffer) -> Override:
    """What the parameters of a load request say; contents of files are base64 in JSON."""
    parameters = _decode(body, ControlRequest).parameters
    for key, value in parameters.items():
        if key.startswith(FILE) and isinstance(value, str):
            try:
                parameters[key] = base64.b64decode(value, validate=True)
            except ValueError:
                raise InvalidRequest(f"parameters: {quoted(key)}: should be base64") from None
    return override_of(parameters)


def _decode(body: Buffer, kind: type[_Body]) -> _Body:
    """The JSON body; an empty one means the defaults."""
    try:
        return msgspec.json.decode(body or b"{}", type=kind)
    except (msgspec.DecodeError, RecursionError) as error:
        raise InvalidRequest(f"the body is not as this path expects it: {error}") from None
