"""A new version gets 0, 10, 50, then 100 % of the traffic: is each share kept, is anything lost?

To be measured: errors, p99, and whether the answers of the new version are as many as its share
says, within what chance allows. That takes a server that divides a model's traffic among versions,
which it tells by listing ``traffic`` among the extensions of ``GET /v2``. Penstock does not yet.
"""

from __future__ import annotations

import msgspec

from benchmarks.attempt import Attempt
from benchmarks.context import Context
from benchmarks.inputs.signature import extensions
from benchmarks.measurement import Measurement
from benchmarks.scenarios.planned import SERVER_S
from benchmarks.subject import UnsupportedError

NAME = "canary_switch"
EXTENSION = "traffic"
METRICS: dict[str, str] = {}


class Params(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """None, as long as there is nothing to switch."""


def planned_s(params: Params) -> float:
    """About how long it takes."""
    return SERVER_S


def run(context: Context, params: Params) -> Measurement:
    """Say what is missing.

    Raises:
        UnsupportedError: always, as it is.
    """
    with Attempt(context, NAME, params), context.candidate() as server:
        if EXTENSION not in extensions(server):
            raise UnsupportedError("it does not divide traffic among versions of a model")
        raise UnsupportedError(
            "it divides traffic among versions in a way that this scenario cannot steer yet"
        )
