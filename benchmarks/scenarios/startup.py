"""From the start of the process to ready, with a model that takes microseconds.

``cold_start`` with the small benchmark model in place of the run's own repository: what the server
itself takes, whatever the user's models are.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

import msgspec

from benchmarks.context import Context
from benchmarks.inputs.source import Inputs
from benchmarks.measurement import Measurement
from benchmarks.models import SMALL
from benchmarks.scenarios import cold_start
from benchmarks.scenarios.planned import SERVER_S

NAME = "startup"
METRICS = cold_start.METRICS


class Params(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How often."""

    starts: Annotated[int, msgspec.Meta(ge=1, description="Fresh processes.")] = 5


def planned_s(params: Params) -> float:
    """About how long it takes."""
    return (1 + params.starts) * SERVER_S


def run(context: Context, params: Params) -> Measurement:
    """As ``cold_start``, without a baseline."""
    repository, _ = context.write(SMALL)
    small = replace(
        context,
        subject=replace(context.launch(), repository=repository),
        baseline=None,
        model=SMALL.name,
        inputs=Inputs(),
    )
    return cold_start.measure(small, cold_start.Params(starts=params.starts), NAME)
