"""Operations on models as endpoints: the body of each is the message that it becomes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from typing import Annotated, Any, get_type_hints
from urllib.parse import parse_qsl

import msgspec

from serve.errors import InvalidRequest
from serve.gateway.operations import Operations
from serve.protocol.quoting import quoted
from serve.traffic.operations import (
    AdvanceRollout,
    ClearTraffic,
    Operation,
    PauseRollout,
    RemoveLabel,
    ResumeRollout,
    Rollback,
    SetLabel,
    SetShadow,
    SetSplit,
    SetTraffic,
    StartRollout,
)
from serve.traffic.report import ModelTraffic
from serve.traffic.state import Audit, ModelState
from serve.transport.admin.endpoints import Endpoint, Query
from serve.transport.admin.guard import Access
from serve.transport.http.compression import Buffer
from serve.transport.http.exchange import Exchange

__all__ = ["body_of", "traffic_endpoints"]

log = logging.getLogger("penstock.admin")

MODEL, LABEL = "/models/{model}", "/models/{model}/labels/{label}"
MAX_QUERY_FIELDS = 16

Whole = Annotated[int, msgspec.Meta(ge=0, le=10**18)]
"""A version's number. Larger ones would be nobody's, and long to write into an error."""
Why = Annotated[str, msgspec.Meta(max_length=1000, description="For the audit log.")]


class Reason(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Why, for whoever reads the audit log."""

    why: Why = ""


CHANGES: tuple[tuple[str, str, type[Any], dict[str, Any]], ...] = (
    ("PUT", f"{MODEL}/traffic", SetTraffic, {}),
    ("DELETE", f"{MODEL}/traffic", ClearTraffic, {}),
    ("PUT", f"{MODEL}/split", SetSplit, {}),
    ("PUT", f"{MODEL}/shadow", SetShadow, {}),
    ("DELETE", f"{MODEL}/shadow", SetShadow, {"shadow": None}),
    ("PUT", LABEL, SetLabel, {}),
    ("DELETE", LABEL, RemoveLabel, {}),
    ("POST", f"{MODEL}/rollout", StartRollout, {}),
    ("POST", f"{MODEL}/rollout/pause", PauseRollout, {}),
    ("POST", f"{MODEL}/rollout/resume", ResumeRollout, {}),
    ("POST", f"{MODEL}/rollout/advance", AdvanceRollout, {}),
    ("POST", f"{MODEL}/rollback", Rollback, {}),
)
"""Method, path, the operation, and fields of it that the path implies."""

AUDIT_QUERY = (
    Query("model", str, "Lines of this model only."),
    Query("limit", int, "Most lines; default: 100."),
    Query("before", int, "Lines with numbers below this one, to read on."),
)


def traffic_endpoints(operations: Operations) -> list[Endpoint]:
    """All that can be asked and told about the traffic of models."""
    doing = _Doing(operations)
    return [
        Endpoint(
            "GET",
            f"{MODEL}/traffic",
            "traffic",
            "The rules of a model, and how its versions fare under them.",
            doing.report,
            answer=ModelTraffic,
        ),
        *(_change(doing, *change) for change in CHANGES),
        Endpoint(
            "POST",
            f"{MODEL}/load",
            "load",
            "Load a model, or load it again, as the repository has it; answers once it is ready.",
            doing.load,
            Access.WRITE,
            body=Reason,
        ),
        Endpoint(
            "POST",
            f"{MODEL}/unload",
            "unload",
            "Take a model out of service; answers once it is freed.",
            doing.unload,
            Access.WRITE,
            body=Reason,
        ),
        Endpoint(
            "GET",
            "/audit",
            "audit",
            "Who has changed what, when and why; the newest first.",
            doing.audit,
            answer=list[Audit],
            query=AUDIT_QUERY,
        ),
    ]


def body_of(operation: type[Any], given: frozenset[str] = frozenset()) -> type[msgspec.Struct]:
    """The body of a request for an operation: its fields but those ``given``, and ``why``."""
    hints = get_type_hints(operation, include_extras=True)
    fields: list[Any] = []
    for field in msgspec.structs.fields(operation):
        if field.name in given:
            continue
        kind = Whole if hints[field.name] is int else hints[field.name]
        if field.required:
            fields.append((field.name, kind))
        else:
            fields.append((field.name, kind, field.default))
    return msgspec.defstruct(
        f"{operation.__name__}Body",
        [*fields, ("why", Why, "")],
        frozen=True,
        kw_only=True,
        forbid_unknown_fields=True,
        namespace={"__doc__": operation.__doc__},
        module=__name__,
    )


def _change(
    doing: _Doing, method: str, path: str, operation: type[Any], implied: dict[str, Any]
) -> Endpoint:
    labelled = "{label}" in path
    body = body_of(operation, frozenset({*implied, *(("label",) if labelled else ())}))
    kind = str(operation.__struct_config__.tag)

    def act(exchange: Exchange, who: str) -> None:
        route = exchange.route
        fields = msgspec.structs.asdict(_decoded(exchange.body, body)) | implied
        why = fields.pop("why")
        if labelled:
            fields["label"] = route.label
        log.info("%s asks: %s of %s", who, kind, quoted(route.model_name))
        doing.change(exchange, operation(**fields), who, why)

    about = str(operation.__doc__).partition("\n\n")[0]
    name = kind if method != "DELETE" or operation is not SetShadow else "remove_shadow"
    return Endpoint(method, path, name, about, act, Access.WRITE, body=body, answer=ModelState)


class _Doing:
    """Runs operations to their end, also those that nobody waits for any more."""

    def __init__(self, operations: Operations) -> None:
        self._operations = operations
        self._under_way: set[asyncio.Task[Any]] = set()

    def change(self, exchange: Exchange, operation: Operation, who: str, why: str) -> None:
        """Have a model's traffic changed."""
        model = exchange.route.model_name
        self._run(exchange, self._operations.apply(model, operation, who=who, why=why))

    def report(self, exchange: Exchange, who: str) -> None:
        """Tell the traffic of a model."""
        self._run(exchange, self._operations.traffic_report(exchange.route.model_name))

    def load(self, exchange: Exchange, who: str) -> None:
        """Have a model loaded."""
        self._control(exchange, who, "load", self._operations.load)

    def unload(self, exchange: Exchange, who: str) -> None:
        """Have a model unloaded."""
        self._control(exchange, who, "unload", self._operations.unload)

    def audit(self, exchange: Exchange, who: str) -> None:
        """Tell lines of the audit log."""
        self._run(exchange, self._operations.audit(**_queried(exchange.head.target, AUDIT_QUERY)))

    def _control(self, exchange: Exchange, who: str, what: str, do: Any) -> None:
        why = _decoded(exchange.body, Reason).why
        model = exchange.route.model_name
        log.info("%s asks: %s of %s (%s)", who, what, quoted(model), quoted(why))
        self._run(exchange, do(model, who=who, why=why))

    def _run(self, exchange: Exchange, work: Coroutine[Any, Any, Any]) -> None:
        task = exchange.context.loop.create_task(work)
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)
        # Who hangs up must not stop a change in the middle: only the waiting is cancelled.
        exchange.wait(asyncio.shield(task), _reply)


def _reply(exchange: Exchange, result: Any) -> None:
    exchange.reply([msgspec.json.encode({} if result is None else result)])


def _decoded(body: Buffer, kind: type[Any]) -> Any:
    """The JSON body; an empty one means the defaults."""
    try:
        return msgspec.json.decode(body or b"{}", type=kind)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise InvalidRequest(
            f"the body is not as this path expects it: {error}; GET /openapi.json describes it"
        ) from None


def _queried(target: bytes, known: tuple[Query, ...]) -> dict[str, Any]:
    """The parameters of a query, by name."""
    query = target.partition(b"?")[2].partition(b"#")[0]
    kinds = {each.name: each.kind for each in known}
    found: dict[str, Any] = {}
    try:
        pairs = parse_qsl(
            query.decode(),
            keep_blank_values=True,
            errors="strict",
            max_num_fields=MAX_QUERY_FIELDS,
        )
    except ValueError:
        raise InvalidRequest(
            f"the query should be UTF-8, of {MAX_QUERY_FIELDS} parameters at most"
        ) from None
    for name, text in pairs:
        if name not in kinds or name in found:
            problem = "is given twice" if name in found else "is not known"
            raise InvalidRequest(
                f"query: the parameter {quoted(name)} {problem}; there are {', '.join(kinds)}"
            )
        if kinds[name] is int and not (text.isascii() and text.isdigit() and len(text) <= 18):
            raise InvalidRequest(f"query: {name} should be a whole number, is {quoted(text)}")
        found[name] = kinds[name](text)
    return found
