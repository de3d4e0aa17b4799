"""The charts of a scenario, each with a caption that says how to read it."""

from __future__ import annotations

import math
from collections.abc import Iterator

from benchmarks.gates.distribution import Distribution
from benchmarks.gates.noise import foreign_share
from benchmarks.gates.outcome import ScenarioOutcome
from benchmarks.gates.ratio import pairs_of
from benchmarks.gates.spec import PERCENTILES
from benchmarks.measurement import Measurement
from benchmarks.report.charts.batches import batches
from benchmarks.report.charts.canvas import Canvas
from benchmarks.report.charts.cdf import Limit, cdf
from benchmarks.report.charts.curve import curve
from benchmarks.report.charts.ratios import ratios
from benchmarks.report.charts.strip import strip
from benchmarks.report.charts.timeline import timeline

__all__ = ["figures"]

Figure = tuple[Canvas, str]
KEY = '<span class="key {}"></span>{}'


def figures(outcome: ScenarioOutcome, foreign_max: float) -> Iterator[Figure]:
    """What the last attempt has data for; captions are HTML."""
    seen = outcome.measurement
    if seen is None:
        return
    limits = _limits(outcome)
    if seen.histogram and (latencies := Distribution.decode(seen.histogram)).total:
        yield (
            cdf(latencies, limits),
            "<b>Latency.</b> Each line up is ten times fewer requests above it.",
        )
    for finding in outcome.findings:
        pairs = pairs_of(seen.rounds, finding.metric)
        if finding.is_relative and pairs:
            yield (
                ratios(pairs, finding),
                f"<b>{finding.metric} against the baseline.</b> A dot is a pair of rounds; the"
                " band is the interval that decides, and must end below the limit to pass"
                if not finding.at_least
                else f"<b>{finding.metric} against the baseline.</b> A dot is a pair of rounds; the"
                " band is the interval that decides, and must begin above the limit to pass",
            )
    if seen.curve:
        p99 = dict(limits).get(0.99)
        yield (
            curve(seen.curve, seen.curve_axis, p99),
            f"<b>Throughput and latency.</b> {_key('a', 'p99')}, {_key('b', 'median')}."
            " A cross missed the limit; a hollow mark was invalid.",
        )
    if seen.timeline:
        yield (
            timeline(seen.timeline),
            f"<b>Timeline.</b> {_key('a', 'p99')}, {_key('b', 'median')}, {_key('c', 'slowest')};"
            f" below: {_key('a', 'answered')}, {_key('refused', 'refused')},"
            f" {_key('bad', 'failed')}.",
        )
    yield from _about_the_run(seen, foreign_max)


def _about_the_run(seen: Measurement, foreign_max: float) -> Iterator[Figure]:
    if sum(seen.batch_rows.values()):
        yield batches(seen.batch_rows), "<b>Batches.</b> How many rows the server ran at once."
    if seen.noise:
        share = foreign_share(seen.noise)
        mean = "" if math.isnan(share) else f" {share:.1%} on average."
        yield (
            strip(seen.noise, foreign_max),
            f"<b>Noise.</b> {_key('quiet', 'CPU that others used')}:{mean}"
            f" {_key('b', 'waiting for a core')}; {_key('limit', 'limit of the average')}.",
        )


def _key(kind: str, text: str) -> str:
    return KEY.format(kind, text)


def _limits(outcome: ScenarioOutcome) -> list[Limit]:
    """The latency percentiles that absolute gates bound."""
    found = []
    for finding in outcome.findings:
        group, _, name = finding.metric.rpartition(".")
        if group == "latency_ms" and name in PERCENTILES and not finding.is_relative:
            found.append((PERCENTILES[name], finding.limit))
    return found
