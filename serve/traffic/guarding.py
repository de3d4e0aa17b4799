"""The guards of a rollout, one function each: what they say of two versions' counts.

They take what was seen of both over the same time and a level ``alpha``, and may be asked at every
moment: for each, the chance that it ever calls a version bad that is within the limit is at most
``alpha``. All are statements on rates (``serve.traffic.sequential``): "p99 is at most t" is "the
rate of requests that take longer than t is at most 1 %". Requests count as independent of each
other at a given time. That rates change over time does no harm as long as both versions see it:
the share of a step is fixed, so their averages move together.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import msgspec

from serve.config.traffic import Guards
from serve.traffic.samples import latency_bin, latency_bin_ms
from serve.traffic.sequential import (
    increase_evidence,
    least_increase,
    most_hits_below,
    rate_bounds,
    rate_evidence,
    threshold_of,
    trials_to_be_below,
)
from serve.traffic.shift import shift_of
from serve.traffic.tally import Rate, Tally
from serve.traffic.verdict import GuardName, State, Verdict

__all__ = ["GUARDS", "Guard", "Seen"]

TAIL = 0.01
FEWEST_LOOKS = 3
PATIENCE = 10
"""A guard that knows too little of stable waits for this many times ``min_requests``."""


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """What was seen of two versions over the same time, and how to speak of it.

    ``alone``: stable gets no requests any more, and ``stable`` is of the time before.
    """

    new: Tally
    stable: Tally
    new_name: str = "the new version"
    stable_name: str = "stable"
    within: str = ""
    alone: bool = False
    needed: int = 1
    """Requests of the new version without which no guard holds."""

    def judged(
        self,
        guard: GuardName,
        text: str,
        *,
        breached: bool,
        samples: int,
        new: float | None = None,
        stable: float | None = None,
        limit: float | None = None,
    ) -> Verdict:
        """The verdict of a guard that knows what it has to."""
        state: State = "holds" if samples >= self.needed else "waiting"
        state = "breached" if breached else state
        return Verdict(
            guard=guard,
            state=state,
            new=new,
            stable=stable,
            limit=limit,
            samples=samples,
            needed=self.needed,
            text=text + self.within,
        )

    def unknown(
        self, guard: GuardName, text: str, samples: int, limit: float | None = None
    ) -> Verdict:
        """The verdict of a guard that knows too little of stable: it does not wait for ever."""
        waits = not self.alone and samples < PATIENCE * self.needed
        return Verdict(
            guard=guard,
            state="waiting" if waits else "off",
            limit=limit,
            samples=samples,
            needed=self.needed,
            text=text,
        )

    def off(self, guard: GuardName, text: str = "not asked for") -> Verdict:
        """The verdict of a guard that has nothing to say."""
        return Verdict(
            guard=guard,
            state="off",
            samples=self.new.accepted,
            needed=self.needed,
            text=f"{guard.value}: {text}",
        )


Guard = Callable[[Guards, float | None, Seen, float], Verdict]
"""Guards of the model, its SLO's latency in ms, what was seen, alpha."""


def errors(guards: Guards, slo_ms: float | None, seen: Seen, alpha: float) -> Verdict:
    """Failed requests, of those accepted, against those of stable."""
    rates = seen.new.failures(), seen.stable.failures()
    return _increase(GuardName.ERRORS, seen, *rates, guards.max_error_rate_increase, alpha)


def refusals(guards: Guards, slo_ms: float | None, seen: Seen, alpha: float) -> Verdict:
    """Refused requests, of all, against those of stable."""
    rates = seen.new.refusals(), seen.stable.refusals()
    return _increase(GuardName.REFUSALS, seen, *rates, guards.max_refusal_rate_increase, alpha)


def p99_slo(guards: Guards, slo_ms: float | None, seen: Seen, alpha: float) -> Verdict:
    """p99 against a latency that is given.

    It is breached if stable keeps it better: where it does not, as on a machine that is too busy
    for both, the rollout stays where it is, since going back would mend nothing.
    """
    limit_ms = slo_ms if guards.p99_ms is None else guards.p99_ms
    if limit_ms is None:
        return seen.off(GuardName.P99_SLO, "no limit, as the model has no slo.latency_ms")
    verdict = _tail(GuardName.P99_SLO, seen, limit_ms, "", alpha)
    above = latency_bin(round(limit_ms * 1e6))
    new, stable = seen.new.slower(above), seen.stable.slower(above)
    if verdict.state != "breached" or not stable.trials:
        return verdict
    text = (
        f"{verdict.text}; {_percent(stable.share)} of {stable.trials:,} of {seen.stable_name} did"
    )
    worse = _is_more(new, stable, 0.0, alpha)
    return msgspec.structs.replace(verdict, text=text, state="breached" if worse else "waiting")


def p99_stable(guards: Guards, slo_ms: float | None, seen: Seen, alpha: float) -> Verdict:
    """p99 against that of stable at the same time.

    The limit follows from the upper end of what is known of stable's p99, at half of alpha. That
    end is too low only if it is for one latency, the true p99; and too high a limit does no harm:
    so one test of each side suffices, though the limit moves with every look.
    """
    guard = GuardName.P99_STABLE
    if guards.max_p99_ratio is None:
        return seen.off(guard)
    stable_bin = _p99_at_most(seen.stable, alpha / 2)
    if stable_bin is None:
        text = (
            f"p99: {seen.stable_name} has answered {_many(seen.stable.timed)}, its p99 takes about"
            f" {trials_to_be_below(TAIL, alpha / 2):,} to know"
        )
        return seen.unknown(guard, text, seen.new.timed)
    stable_ms = latency_bin_ms(stable_bin)
    limit_ms = max(guards.max_p99_ratio * stable_ms, guards.min_p99_ms)
    why = f"{guards.max_p99_ratio:.3g} x the {stable_ms:.3g} ms of {seen.stable_name}"
    if limit_ms > guards.max_p99_ratio * stable_ms:
        why = f"{seen.stable_name} has {stable_ms:.3g} ms, but below {limit_ms:.3g} all is well"
    return _tail(guard, seen, limit_ms, why, alpha / 2)


def disagreement(guards: Guards, slo_ms: float | None, seen: Seen, alpha: float) -> Verdict:
    """Shadow copies whose answer was another, or an error, of all that were answered."""
    guard, limit = GuardName.DISAGREEMENT, guards.max_disagreement
    if limit is None:
        return seen.off(guard)
    hits, trials = seen.new.disagreed, seen.new.compared
    if not trials:
        text = (
            f"disagreement: no answers of {seen.new_name} were compared;"
            " let it shadow before the rollout, or drop guards.max_disagreement"
        )
        return seen.judged(guard, text, breached=False, samples=0, limit=limit)
    breached = rate_evidence(hits, trials, limit) >= threshold_of(alpha)
    text = f"disagreement: {_percent(hits / trials)} of {trials:,} copies to {seen.new_name}"
    if breached:
        text += f" (at least {_percent(rate_bounds(hits, trials, alpha)[0])})"
    text += f", {_percent(limit)} allowed"
    return seen.judged(
        guard, text, breached=breached, samples=trials, new=hits / trials, limit=limit
    )


def scores(guards: Guards, slo_ms: float | None, seen: Seen, alpha: float) -> Verdict:
    """The distribution of the scores against that of stable."""
    guard, limit = GuardName.SCORES, guards.max_score_shift
    if limit is None:
        return seen.off(guard)
    samples = math.floor(seen.new.scored)
    if not seen.stable.scores:
        if not seen.new.scores and seen.stable.answered and seen.new.answered >= seen.needed:
            return seen.off(guard, "the model has no output that is a score")
        text = f"scores: none of {seen.stable_name} to compare with"
        return seen.unknown(guard, text, samples, limit)
    if not seen.new.scores:
        text = f"scores: {seen.new_name} has given none yet, {seen.stable_name} has"
        return seen.judged(guard, text, breached=False, samples=0, limit=limit)
    shift = shift_of(seen.new.scores, seen.stable.scores, limit, alpha)
    requests = f"{samples:,} and {_many(math.floor(seen.stable.scored))}"
    text = (
        f"scores: the distributions of {seen.new_name} and {seen.stable_name} differ by"
        f" {shift.distance:.2f} over {requests}"
    )
    if shift.at_least:
        text += f" (at least {shift.at_least:.2f})"
    text += f", {limit:.3g} allowed"
    return seen.judged(
        guard,
        text,
        breached=shift.at_least > 0,
        samples=samples,
        new=shift.distance,
        limit=limit,
    )


GUARDS: tuple[tuple[GuardName, Guard], ...] = (
    (GuardName.ERRORS, errors),
    (GuardName.P99_SLO, p99_slo),
    (GuardName.P99_STABLE, p99_stable),
    (GuardName.REFUSALS, refusals),
    (GuardName.DISAGREEMENT, disagreement),
    (GuardName.SCORES, scores),
)


def _increase(
    guard: GuardName, seen: Seen, new: Rate, stable: Rate, limit: float | None, alpha: float
) -> Verdict:
    """Whether hits are more of the trials of the new version than of stable's, by a limit."""
    if limit is None:
        return seen.off(guard)
    if not stable.trials:
        text = f"{guard.value}: {seen.stable_name} has no requests to compare with"
        return seen.unknown(guard, text, new.trials, limit)
    breached = _is_more(new, stable, limit, alpha)
    text = (
        f"{guard.value}: {_percent(new.share)} of {_many(new.trials)} of {seen.new_name},"
        f" {_percent(stable.share)} of {stable.trials:,} of {seen.stable_name}"
    )
    if breached:
        least = least_increase(*new.independent, *stable.independent, alpha)
        text += f": at least {100 * least:.2g} points more"
    text += f", {100 * limit:.3g} allowed" if breached else f", +{100 * limit:.3g} points allowed"
    return seen.judged(
        guard,
        text,
        breached=breached,
        samples=new.trials,
        new=new.share,
        stable=stable.share,
        limit=limit,
    )


def _is_more(new: Rate, stable: Rate, limit: float, alpha: float) -> bool:
    """Whether a rate is above that of stable by a limit.

    Both as if trials were independent and with what they say if they are not: the first is what is
    proven, the second never brings about a breach, but prevents those by bursts. Of the few looks
    it takes to know how far hits lie apart, nothing is concluded.
    """
    counts: list[tuple[float, float, float, float]] = [
        (new.hits, new.trials, stable.hits, stable.trials),
        (*new.independent, *stable.independent),
    ]
    return new.looks >= FEWEST_LOOKS and all(
        increase_evidence(*four, limit) >= threshold_of(alpha) for four in counts
    )


def _is_above(new: Rate, limit: float, alpha: float) -> bool:
    """Whether a rate is above a limit; see ``_is_more``."""
    counts: list[tuple[float, float]] = [(new.hits, new.trials), new.independent]
    return new.looks >= FEWEST_LOOKS and all(
        rate_evidence(*two, limit) >= threshold_of(alpha) for two in counts
    )


def _tail(guard: GuardName, seen: Seen, limit_ms: float, why: str, alpha: float) -> Verdict:
    """Whether more than 1 % of the requests take longer than a limit."""
    slow = seen.new.slower(latency_bin(round(limit_ms * 1e6)))
    breached = _is_above(slow, TAIL, alpha)
    p99_ms, stable_ms = _p99_ms(seen.new), _p99_ms(seen.stable)
    if breached:
        low = rate_bounds(*slow.independent, alpha)[0]
        text = (
            f"p99 of {seen.new_name} is above {limit_ms:.3g} ms:"
            f" {slow.hits:,} of {_many(slow.trials)} took longer"
            f" (at least {_percent(low)}, {_percent(TAIL)} allowed)"
        )
        text += f"; {why}" if why else ""
    else:
        found = "not known" if p99_ms is None else f"{p99_ms:.3g} ms over {_many(slow.trials)}"
        text = f"p99 of {seen.new_name}: {found}, {limit_ms:.3g} ms allowed"
        text += f" ({why})" if why else ""
    return seen.judged(
        guard,
        text,
        breached=breached,
        samples=slow.trials,
        new=p99_ms,
        stable=stable_ms,
        limit=limit_ms,
    )


def _p99_ms(tally: Tally) -> float | None:
    number = tally.p99_bin()
    return None if number is None else latency_bin_ms(number)


def _p99_at_most(tally: Tally, alpha: float) -> int | None:
    """The lowest bin of which it is known that at most 1 % take longer; None: of none, yet."""
    allowed = most_hits_below(tally.timed, TAIL, alpha)
    if allowed < 0:
        return None
    number = tally.bin_with_slower(allowed)
    while not _is_below(tally.slower(number), TAIL, alpha):  # at the highest latency it is
        number += 1
    return number


def _is_below(rate: Rate, limit: float, alpha: float) -> bool:
    """Whether a rate is below a limit, also if hits come in bursts."""
    hits, trials = rate.independent
    return not rate.hits or (
        hits < limit * trials
        and rate_evidence(trials - hits, trials, 1 - limit) >= threshold_of(alpha)
    )


def _many(requests: int) -> str:
    return f"{requests:,} request" + ("" if requests == 1 else "s")


def _percent(share: float) -> str:
    return f"{100 * share:.3g} %"
