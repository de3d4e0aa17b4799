"""Sentences: what optimising a transformer is worth, served over HTTP, one short text a request.

Three servers, turn by turn: the newest version of ``minilm`` in the repository under test; the
same server with the original as it was exported, in FP32; and the original in PyTorch eager mode
behind a plain web server (``benchmarks.eager``). In the rounds, the baseline is the FP32 export.
It is made anew by ``penstock optimize`` with no steps, which takes a minute or two, and has no
latency target: one that it cannot keep would have it refuse what it could answer.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import orjson
import yaml
from msgspec import Meta

from benchmarks.answers import ask
from benchmarks.attempt import Attempt
from benchmarks.context import Context
from benchmarks.measurement import Measurement
from benchmarks.payloads import Payload
from benchmarks.process import running
from benchmarks.scenarios import levels as at_levels
from benchmarks.scenarios.levels import (
    Level,
    LevelParams,
    compared,
    curve_of,
    rounds_of,
    take_levels,
)
from benchmarks.scenarios.params import Count
from benchmarks.subject import Served, UnsupportedError, serve, served

NAME = "sentences"
SHOWN = ("rate_per_s.ok", "latency_ms.p50", "latency_ms.p99")
METRICS = {
    "at_{level}.vs_fp32": "Median of good answers a second, optimised / FP32 export.",
    "at_{level}.vs_eager": "The same, optimised / PyTorch eager in a plain web server.",
    **{f"at_{{level}}.{name}": "Optimised, median." for name in SHOWN},
    **{f"at_{{level}}.fp32.{name}": "FP32 export, median." for name in SHOWN},
    **{f"at_{{level}}.eager.{name}": "PyTorch eager, median." for name in SHOWN},
    "best.vs_fp32": "Highest median of good answers a second of any level, optimised / FP32.",
    "best.vs_eager": "The same, optimised / PyTorch eager in a plain web server.",
    "error_rate": "Part of all requests, of all three, that failed.",
}
MODEL = "minilm"
PREPARE_S = 150.0

SENTENCES = (
    "Return the absolute path of the directory that contains the running program.",
    "Split a string into words and count how often each of them occurs in it.",
    "Which payments of the last month were refused by the bank, and for what reason?",
    "The order has not arrived yet and nobody answers the telephone in your office.",
    "How do I change the address that the invoices of my company are sent to?",
    "Open a file for reading and close it again when the block of code is left.",
    "The battery of the new telephone lasts for two days, which is better than before.",
    "Find all customers near the city who have bought the product more than once.",
)
"""Of 15 to 18 tokens each."""


class Params(LevelParams, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How many callers."""

    rounds: Annotated[int, Meta(ge=1, description="Rounds that count, a contender.")] = 5
    round_s: Annotated[float, Meta(gt=0, description="Load of one round.")] = 4.0
    levels: Annotated[
        tuple[Count, ...], Meta(min_length=1, description="Numbers of connections.")
    ] = (8, 32)


def planned_s(params: Params) -> float:
    """About how long it takes."""
    return PREPARE_S + at_levels.planned_s(params, servers=3)


def run(context: Context, params: Params) -> Measurement:
    """All three servers turn by turn, one number of connections after the other."""
    folder = context.launch().repository / MODEL
    if not any(child.name.isdigit() for child in folder.glob("*")):
        raise UnsupportedError(
            f"there is no version of {MODEL} in {folder.parent}: run `penstock optimize {folder}`"
        )
    context.progress("exporting the original", None)
    original = _original(context, folder)
    payloads = tuple(_payload(index, text) for index, text in enumerate(SENTENCES))
    with (
        Attempt(context, NAME, params) as attempt,
        _served(context, "optimised", _only(context, folder)) as optimised,
        _served(context, "fp32", original) as fp32,
        running(context.start_eager(folder / "teacher.py")) as eager,
    ):
        contenders = [(server, payloads) for server in (optimised, fp32, served(eager))]
        for server, _ in contenders:
            assert server.process is not None
            ask(server.process, payloads[0])
        candidate, baseline, other = contenders
        levels = take_levels(attempt, params, candidate, {"fp32": baseline, "eager": other})
        metrics = compared(levels, _compare)
        return attempt.measurement(
            metrics | best_of(metrics, params.levels),
            rounds=rounds_of(levels),
            curve=curve_of(levels),
            curve_axis="connections",
        )


def best_of(metrics: dict[str, float], levels: tuple[int, ...]) -> dict[str, float]:
    """What each contender answers at the level that suits it best, compared."""
    best = {
        name: max(metrics[f"at_{level}.{name}rate_per_s.ok"] for level in levels)
        for name in ("", "fp32.", "eager.")
    }
    return {
        "best.vs_fp32": best[""] / best["fp32."],
        "best.vs_eager": best[""] / best["eager."],
    }


def _compare(level: Level) -> dict[str, float]:
    return {
        **{f"{level.at}vs_{name}": level.ratio("rate_per_s.ok", name) for name in level.others},
        **level.medians(SHOWN),
    }


def _payload(index: int, text: str) -> Payload:
    tensor = {"name": "text", "shape": [1, 1], "datatype": "BYTES", "data": [text]}
    return Payload(
        f"{MODEL}-{index}",
        f"/v2/models/{MODEL}/infer",
        (("Content-Type", "application/json"),),
        orjson.dumps({"inputs": [tensor]}),
        1,
    )


@contextlib.contextmanager
def _served(context: Context, name: str, repository: Path) -> Iterator[Served]:
    subject = replace(context.launch(), repository=repository)
    with serve(subject, context.folder / f"{name}.log") as server:
        yield server


def _only(context: Context, folder: Path) -> Path:
    """A repository with this model alone, so that no other one takes memory or time."""
    repository = context.folder / "repository-optimised"
    repository.mkdir(parents=True, exist_ok=True)
    link = repository / MODEL
    if not link.exists():
        link.symlink_to(folder.resolve(), target_is_directory=True)
    return repository


def _link(source: str, target: str) -> None:
    """The same file under another name, or a copy on another file system."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def _original(context: Context, folder: Path) -> Path:
    """A repository with the model as it was exported: no step, FP32, no latency target.

    Raises:
        UnsupportedError: it cannot be made; carries the end of what was printed.
    """
    repository = context.folder / "repository-fp32"
    copy = repository / MODEL
    if not copy.exists():
        shutil.copytree(
            folder,
            copy,
            copy_function=_link,  # finished steps are found again
            ignore=lambda _, names: [name for name in names if name.isdigit()],
        )
    path = copy / "model.yaml"
    settings = yaml.safe_load(path.read_text())
    settings["optimize"]["steps"] = []
    settings.get("slo", {}).pop("latency_ms", None)
    path.unlink()  # or the link's other end would be written to
    path.write_text(yaml.safe_dump(settings))
    command = [context.launch().penstock, "optimize", str(copy)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        said = (done.stdout + done.stderr)[-500:]
        raise UnsupportedError(f"the original cannot be exported: {' '.join(command)}: {said}")
    return repository
