"""From the start of the process to ready, and to the first answer.

Fresh processes, one after the other, with the run's own repository: what a rolling update, a crash
or a new machine costs. With a baseline, both are started turn by turn.
"""

from __future__ import annotations

import statistics
from typing import Annotated, Literal

from msgspec import Meta

from benchmarks.answers import ask_once
from benchmarks.attempt import Attempt
from benchmarks.context import Context
from benchmarks.measurement import Measurement, Round
from benchmarks.noise import is_quiet
from benchmarks.payloads import Payload
from benchmarks.scenarios.params import LoadParams, payloads_for
from benchmarks.scenarios.planned import SERVER_S
from benchmarks.subject import Given, Launch, UnsupportedError, serve, served, start

NAME = "cold_start"
METRICS = {
    "ready_s": "Median time from the start of the process to ready.",
    "ready_s.max": "The longest.",
    "first_answer_s": "Median time from the start of the process to the first good answer.",
    "first_answer_s.max": "The longest.",
    "exit_status.max": "Highest exit status after SIGTERM, negative ones (signals) as positive.",
    "server_cpu_s": "Median CPU used until the first answer.",
    "server_rss_mib.start": "Median memory resident after the first answer.",
    "server_pss_mib.start": "The same, where what processes share counts once.",
}
MIB = 2**20


class Params(LoadParams, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How often."""

    starts: Annotated[int, Meta(ge=1, description="Fresh processes.")] = 10


def planned_s(params: Params) -> float:
    """With a baseline that is started as often."""
    return (1 + 2 * params.starts) * SERVER_S


def run(context: Context, params: Params) -> Measurement:
    """The run's own repository."""
    return measure(context, params, NAME)


def measure(context: Context, params: Params, scenario: str) -> Measurement:
    """Start, wait, ask, stop; again and again."""
    with Attempt(context, scenario, params) as attempt:
        subjects: dict[Literal["candidate", "baseline"], Launch] = {"candidate": context.launch()}
        if isinstance(context.baseline, Given):
            raise UnsupportedError("the baseline runs already, and has to be started for this")
        if context.baseline is not None:
            subjects["baseline"] = context.baseline
        attempt.say("a first start, that does not count")
        payload = _payload(context, params, subjects["candidate"])
        rounds: list[Round] = []
        for number in range(params.starts):
            for contender, subject in subjects.items():
                attempt.say(f"{contender}, {number + 1} of {params.starts}", number / params.starts)
                before = attempt.noise.read()
                metrics = _start(context, params, subject, payload)
                sample = before.until(attempt.noise.read(), attempt.noise.start_s)
                rounds.append(
                    Round(
                        contender=contender,
                        number=number,
                        start=number,
                        metrics=metrics,
                        quiet=is_quiet([sample], context.limits),
                    )
                )
        seen = [one.metrics for one in rounds if one.contender == "candidate"]
        metrics = {name: statistics.median(one[name] for one in seen) for name in seen[0]}
        for name in ("ready_s", "first_answer_s"):
            metrics[f"{name}.max"] = max(one[name] for one in seen)
        metrics["exit_status.max"] = max(one["exit_status"] for one in seen)
        del metrics["exit_status"]
        return attempt.measurement(
            metrics, rounds=tuple(rounds) if context.baseline is not None else ()
        )


def _payload(context: Context, params: Params, subject: Launch) -> Payload:
    """A request, from a first start that does not count: it also warms the disk's cache."""
    with serve(subject, context.folder / f"{NAME}.log") as server:
        return payloads_for(context, params, server)[0]


def _start(context: Context, params: Params, subject: Launch, payload: Payload) -> dict[str, float]:
    server = start(subject, context.folder / f"{NAME}.log")
    try:
        ready_s = server.wait_ready()
        ask_once(served(server).target(params.protocol), payload)
        answered_s = server.seconds_since_start()
        tree = server.tree
        cpu_s, rss_bytes, pss_bytes = tree.cpu_s(), tree.rss_bytes(), tree.pss_bytes()
    finally:
        exit_status = server.stop()
    return {
        "ready_s": ready_s,
        "first_answer_s": answered_s,
        "server_cpu_s": cpu_s,
        "server_rss_mib.start": rss_bytes / MIB,
        "server_pss_mib.start": pss_bytes / MIB,
        "exit_status": float(abs(exit_status)),
    }
