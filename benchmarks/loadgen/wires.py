"""Which wire speaks a target's protocol."""

from __future__ import annotations

from benchmarks.loadgen.grpc_stream import StreamWire
from benchmarks.loadgen.grpc_unary import UnaryWire
from benchmarks.loadgen.http1 import HttpWire
from benchmarks.loadgen.spec import LoadSpec
from benchmarks.loadgen.wire import Owner, Wire

__all__ = ["open_wire"]


def open_wire(spec: LoadSpec, owner: Owner) -> Wire:
    """The wire for the target's protocol."""
    if spec.target.protocol == "http":
        return HttpWire(spec, owner)
    if spec.target.protocol == "grpc":
        return UnaryWire(spec, owner)
    return StreamWire(spec, owner)
