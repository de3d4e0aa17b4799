"""LoadGen's ``mlperf_log_summary.txt``: what it found, and whether it calls that VALID."""

from __future__ import annotations

import re

from benchmarks.mlperf.job import Outcome, Scenario

__all__ = ["parse"]

_PAIR = re.compile(r"^(\S.*?) *: +(.+)$", re.MULTILINE)
_PER_S = {
    "Server": "Completed samples per second",
    "SingleStream": "QPS w/o loadgen overhead",
    "Offline": "Samples per second",
}


def parse(text: str, scenario: Scenario, failed: int) -> Outcome:
    """The verdict and the figures; a run with failed answers is never valid.

    Raises:
        ValueError: it is no such summary.
    """
    values = {key: value.strip() for key, value in _PAIR.findall(text)}
    try:
        verdict, per_s = values["Result is"], float(values[_PER_S[scenario]])
        p50, p90, p99 = (
            round(float(values[f"{point} percentile latency (ns)"]) / 1e6, 3)
            for point in ("50.00", "90.00", "99.00")
        )
    except KeyError as error:
        raise ValueError(f"LoadGen's summary has no {error}: {text[:500]!r}") from error
    reasons = _reasons(text)
    if failed:
        reasons += (f"{failed} requests had no good answer",)
    return Outcome(
        scenario=scenario,
        valid=verdict == "VALID" and not failed,
        reasons=reasons,
        failed=failed,
        per_s=per_s,
        p50_ms=p50,
        p90_ms=p90,
        p99_ms=p99,
    )


def _reasons(text: str) -> tuple[str, ...]:
    """The lines marked `*` that follow "Recommendations:"."""
    _, found, after = text.partition("Recommendations:")
    if not found:
        return ()
    lines = (line.strip() for line in after.partition("\n\n")[0].splitlines())
    return tuple(line.removeprefix("* ") for line in lines if line.startswith("* "))
