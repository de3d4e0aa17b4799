"""Payloads for a model, from wherever its requests come from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.inputs import evaluation, recorded, signature
from benchmarks.inputs.encode import Encoding, encode
from benchmarks.loadgen.spec import Protocol
from benchmarks.payloads import Payload
from benchmarks.subject import Served

__all__ = ["Inputs", "make_payloads"]


@dataclass(frozen=True, slots=True)
class Inputs:
    """A file at most; without one, requests are made from the model's signature."""

    recorded: Path | None = None
    """Requests as they were sent: see ``benchmarks.inputs.recorded``."""
    evaluation: Path | None = None
    """Rows of the model's data: see ``benchmarks.inputs.evaluation``."""


def make_payloads(
    inputs: Inputs,
    server: Served,
    *,
    model: str,
    protocol: Protocol,
    encoding: Encoding,
    rows: int,
    count: int,
    seed: int,
) -> tuple[Payload, ...]:
    """Some ``count`` different requests of ``rows`` rows each; recorded ones are all, and as is.

    Raises:
        UnsupportedError: the server or the model cannot take such requests.
        DataError: the file does not fit the model.
    """
    if inputs.recorded is not None:
        if not model:
            model = signature.fetch(server).name
        return recorded.read(inputs.recorded, model, protocol, encoding)
    signed = signature.fetch(server, model)
    rng = np.random.default_rng(seed)
    if inputs.evaluation is None:
        made = [signature.generate(signed, rows, rng) for _ in range(count)]
    else:
        data = evaluation.read(inputs.evaluation, signed)
        length = len(next(iter(data.values())))
        picks = [rng.integers(0, length, rows) for _ in range(count)]
        made = [{name: array[pick] for name, array in data.items()} for pick in picks]
    return tuple(
        encode(signed, tensors, protocol, encoding, f"{signed.name}-{number}")
        for number, tensors in enumerate(made)
    )
