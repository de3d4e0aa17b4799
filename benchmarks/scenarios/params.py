"""Parameters that scenarios share. Each field's description is its documentation."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import msgspec

from benchmarks.answers import right_answer
from benchmarks.context import Context
from benchmarks.inputs.encode import Encoding
from benchmarks.inputs.source import make_payloads
from benchmarks.loadgen.spec import ClosedLoop, LoadSpec, OpenLoop, Protocol
from benchmarks.models import FEATURES, BenchmarkModel
from benchmarks.payloads import Payload, json_rows
from benchmarks.subject import Served

__all__ = [
    "Count",
    "LoadParams",
    "Positive",
    "Seconds",
    "describe",
    "load_spec",
    "own_payloads",
    "payloads_for",
]

Count = Annotated[int, msgspec.Meta(ge=1)]
Positive = Annotated[float, msgspec.Meta(gt=0)]
Seconds = Annotated[float, msgspec.Meta(gt=0)]


class LoadParams(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is sent, and over what."""

    model: Annotated[
        str, msgspec.Meta(description="Model that requests go to. Empty: the run's model.")
    ] = ""
    protocol: Annotated[
        Protocol, msgspec.Meta(description="http, grpc (unary), or grpc_stream.")
    ] = "http"
    encoding: Annotated[
        Encoding, msgspec.Meta(description="json or binary tensors over HTTP; gRPC is binary.")
    ] = "json"
    rows: Annotated[int, msgspec.Meta(ge=1, description="Rows a request.")] = 1
    payloads: Annotated[
        int, msgspec.Meta(ge=1, description="Different requests, sent in turn.")
    ] = 32
    connections: Annotated[
        int, msgspec.Meta(ge=1, description="Most requests under way at once.")
    ] = 64
    processes: Annotated[
        int, msgspec.Meta(ge=1, description="Generator processes that share the load.")
    ] = 1
    slo_ms: Annotated[
        float, msgspec.Meta(gt=0, description="Latency that a good answer keeps.")
    ] = 100.0


def payloads_for(
    context: Context, params: LoadParams, server: Served, **changes: Any
) -> tuple[Payload, ...]:
    """The requests that the parameters ask for, for a server that is ready.

    Raises:
        UnsupportedError: the server or the model cannot take such requests.
        DataError: a file of inputs does not fit.
    """
    what = {"encoding": params.encoding, "rows": params.rows, **changes}
    return make_payloads(
        context.inputs,
        server,
        model=params.model or context.model,
        protocol=params.protocol,
        count=params.payloads,
        seed=context.seed,
        **what,
    )


def own_payloads(
    context: Context, model: BenchmarkModel, artefact: Path, count: int
) -> tuple[tuple[Payload, ...], tuple[tuple[bytes, ...], ...]]:
    """Requests to a benchmark model, and the answer of ONNX Runtime to each."""
    payloads = tuple(
        json_rows(model.name, 1, FEATURES, seed=context.seed + number) for number in range(count)
    )
    return payloads, tuple((right_answer(artefact, payload),) for payload in payloads)


def load_spec(
    params: LoadParams,
    server: Served,
    payloads: tuple[Payload, ...],
    load: OpenLoop | ClosedLoop,
    **changes: Any,
) -> LoadSpec:
    """A load as the parameters ask for."""
    settings = {
        "connections": params.connections,
        "processes": params.processes,
        "slo_ms": params.slo_ms,
        **changes,
    }
    return LoadSpec(target=server.target(params.protocol), payloads=payloads, load=load, **settings)


def describe(params: type[msgspec.Struct]) -> dict[str, str]:
    """The description of each field."""
    fields = msgspec.inspect.type_info(params)
    assert isinstance(fields, msgspec.inspect.StructType)
    described = {}
    for one in fields.fields:
        extra = one.type.extra_json_schema if isinstance(one.type, msgspec.inspect.Metadata) else {}
        described[one.name] = str((extra or {}).get("description", ""))
    return described
