"""A missed ratio counts once a second measurement, of newly started servers, is worse as well.

The first has to miss the limit with all of its interval, the second has to be worse than the
baseline with all of its own. A build that is the same as the baseline does each by chance once in
40 times at most, and both, which know nothing of each other, once in 1,600, however large the noise
is. To ask the second for the limit too would find less than half as many of those that
are a tenth slower. What is missed but once is inconclusive. Nothing else is measured again, and a
second measurement never makes a pass.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from benchmarks.gates.findings import Finding
from benchmarks.gates.outcome import Attempt
from benchmarks.gates.verdict import Verdict, combined

__all__ = ["needs_second", "settled"]


def needs_second(attempt: Attempt) -> bool:
    """Whether it fails, and a ratio is among what it missed."""
    return attempt.verdict is Verdict.FAIL and any(map(_missed_ratio, attempt.findings))


def settled(attempts: Sequence[Attempt], *, not_again: str = "") -> tuple[Attempt, ...]:
    """The attempts of a scenario in their order, the last with the verdict on all of them.

    ``not_again`` is why a missed ratio was not measured a second time, where it was not.
    """
    first = next((one for one in attempts if needs_second(one)), None)
    last = attempts[-1]
    if first is None:
        kept: Attempt | None = None
    elif first is last:
        why = not_again or "the run ended before"
        unsure = tuple(_unsure(found, f"not measured again: {why}") for found in first.findings)
        kept, last = None, _with(first, unsure)
    else:
        kept = first
        last = msgspec.structs.replace(last, confirms=first.number)
        if not last.error:
            last = _with(last, _agreed(first, last))
    return (
        *(one if one is kept else _discarded(one) for one in attempts[:-1]),
        last,
    )


def _discarded(attempt: Attempt) -> Attempt:
    return msgspec.structs.replace(attempt, discarded=True)


def _with(attempt: Attempt, findings: tuple[Finding, ...]) -> Attempt:
    return msgspec.structs.replace(
        attempt, findings=findings, verdict=combined(found.verdict for found in findings)
    )


def _missed_ratio(found: Finding) -> bool:
    return found.is_relative and found.verdict is Verdict.FAIL


def _agreed(first: Attempt, second: Attempt) -> tuple[Finding, ...]:
    pairs = zip(first.findings, second.findings, strict=True)
    return tuple(_of_both(before, again) for before, again in pairs)


def _of_both(before: Finding, again: Finding) -> Finding:
    """What was not in question keeps its verdict; only an absolute limit that is missed is news."""
    if not _missed_ratio(before):
        return again if again.verdict is Verdict.FAIL and not again.is_relative else before
    if _is_worse(again):
        return again.ended(
            Verdict.FAIL, f"{before.reason}; the second measurement is worse too: {again.reason}"
        )
    return again.ended(
        Verdict.INCONCLUSIVE,
        f"{before.reason}; the second measurement does not confirm it: {again.reason}",
    )


def _is_worse(found: Finding) -> bool:
    """Than the baseline, or than a limit that asks for more than to be as good as that."""
    if found.at_least:
        return found.high < max(1.0, found.limit)
    return found.low > min(1.0, found.limit)


def _unsure(found: Finding, why: str) -> Finding:
    if not _missed_ratio(found):
        return found
    return found.ended(Verdict.INCONCLUSIVE, f"{found.reason}; {why}")
