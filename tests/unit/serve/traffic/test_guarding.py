"""What each guard says of counts."""

from __future__ import annotations

import pytest

from serve.config.traffic import Guards
from serve.traffic.guarding import GUARDS, Seen
from serve.traffic.samples import Sample, latency_bin
from serve.traffic.tally import Tally
from serve.traffic.verdict import GuardName, Verdict

ALPHA = 0.0025


def tally_of(sample: Sample, looks: int = 10) -> Tally:
    """The counts of looks that are all alike."""
    tally = Tally()
    for _ in range(looks):
        tally.add(sample)
    return tally


def requests(*, fast: int = 0, slow: int = 0, ms: float = 2.0, slow_ms: float = 40.0) -> Sample:
    """Answered requests that took ``ms``, and ``slow_ms``; scores are spread evenly."""
    latencies = {latency_bin(round(ms * 1e6)): fast, latency_bin(round(slow_ms * 1e6)): slow}
    answered = fast + slow
    return Sample(
        answered=answered,
        latencies={number: count for number, count in latencies.items() if count},
        scores={1300 - n: answered // 5 for n in range(5)},
    )


def judge(
    name: GuardName,
    new: Tally,
    stable: Tally,
    *,
    guards: Guards | None = None,
    slo_ms: float | None = None,
    needed: int = 100,
    alone: bool = False,
) -> Verdict:
    seen = Seen(
        new=new,
        stable=stable,
        new_name="version 4",
        stable_name="version 3",
        needed=needed,
        alone=alone,
    )
    return dict(GUARDS)[name](guards or Guards(), slo_ms, seen, ALPHA)


STABLE = tally_of(requests(fast=200), 10)
NOTHING = Tally()


def test_errors_beyond_those_of_stable_are_a_breach() -> None:
    new = tally_of(Sample(answered=8, failed=2), 6)
    verdict = judge(GuardName.ERRORS, new, STABLE)
    assert verdict.state == "breached"
    assert verdict.new == pytest.approx(0.2)
    assert (verdict.stable, verdict.limit, verdict.samples) == (0.0, 0.01, 60)
    assert verdict.text == (
        "errors: 20 % of 60 requests of version 4, 0 % of 2,000 of version 3:"
        " at least 3.7 points more, 1 allowed"
    )


def test_errors_that_stable_has_too_are_none() -> None:
    both = Sample(answered=80, failed=20)
    assert judge(GuardName.ERRORS, tally_of(both), tally_of(both)).state == "holds"


def test_errors_in_one_burst_are_none() -> None:
    new = tally_of(Sample(answered=10), 20)
    new.add(Sample(failed=60))
    new.add(Sample(failed=60))
    assert judge(GuardName.ERRORS, new, STABLE).state == "holds"
    new.add(Sample(failed=60))
    assert judge(GuardName.ERRORS, new, STABLE).state == "breached"


def test_refusals_are_a_share_of_all_requests() -> None:
    verdict = judge(GuardName.REFUSALS, tally_of(Sample(answered=10, refused=10)), STABLE)
    assert verdict.state == "breached"
    assert verdict.new == 0.5
    assert verdict.samples == 200


def test_p99_over_the_slo_is_a_breach_that_says_how_often() -> None:
    new = tally_of(requests(fast=7, slow=3), 6)
    verdict = judge(GuardName.P99_SLO, new, STABLE, slo_ms=7.5)
    assert verdict.state == "breached"
    assert verdict.limit == 7.5
    assert verdict.text == (
        "p99 of version 4 is above 7.5 ms: 18 of 60 requests took longer (at least 10.2 %,"
        " 1 % allowed); 0 % of 2,000 of version 3 did"
    )


def test_p99_over_the_slo_waits_where_stable_keeps_it_no_better() -> None:
    busy = requests(fast=70, slow=30)
    verdict = judge(GuardName.P99_SLO, tally_of(busy), tally_of(busy), slo_ms=7.5)
    assert verdict.state == "waiting"
    assert "30 % of 1,000 of version 3 did" in verdict.text


def test_p99_over_the_slo_is_a_breach_where_nothing_is_known_of_stable() -> None:
    new = tally_of(requests(fast=7, slow=3), 6)
    assert judge(GuardName.P99_SLO, new, NOTHING, slo_ms=7.5).state == "breached"


def test_a_stall_is_no_breach_of_the_slo() -> None:
    new = tally_of(requests(fast=20), 10)
    new.add(requests(slow=40))
    verdict = judge(GuardName.P99_SLO, new, STABLE, slo_ms=7.5)
    assert verdict.state == "holds"
    assert verdict.new is not None
    assert verdict.new > 39


@pytest.mark.parametrize(("stalls", "state"), [(3, "holds"), (10, "breached")])
def test_some_stalls_are_no_breach_and_many_are(stalls: int, state: str) -> None:
    new = Tally()
    for look in range(20):
        new.add(requests(slow=50) if look < stalls else requests(fast=50))
    assert judge(GuardName.P99_SLO, new, STABLE, slo_ms=7.5).state == state


def test_errors_of_whole_batches_count_as_few() -> None:
    new = tally_of(Sample(answered=32), 12)
    for _ in range(2):
        new.add(Sample(failed=32))
    assert judge(GuardName.ERRORS, new, STABLE).state == "holds"
    scattered = tally_of(Sample(answered=27, failed=5), 14)
    assert judge(GuardName.ERRORS, scattered, STABLE).state == "breached"


def test_less_is_known_of_stables_p99_if_slow_requests_come_in_bursts() -> None:
    bursts, even = Tally(), Tally()
    for look in range(400):
        bursts.add(requests(slow=20) if look % 200 == 50 else requests(fast=20))
        even.add(requests(fast=19, slow=1) if look % 10 == 0 else requests(fast=20))
    new = tally_of(requests(fast=20, ms=20.0))
    assert judge(GuardName.P99_STABLE, new, even).limit == 5.0
    assert judge(GuardName.P99_STABLE, new, bursts).limit == pytest.approx(60, rel=0.1)


def test_p99_ms_stands_before_the_slo() -> None:
    new = tally_of(requests(fast=20))
    verdict = judge(GuardName.P99_SLO, new, STABLE, slo_ms=7.5, guards=Guards(p99_ms=1.0))
    assert verdict.limit == 1.0


def test_a_request_that_takes_as_long_as_the_limit_is_in_time() -> None:
    new = tally_of(requests(fast=20, ms=7.5))
    assert judge(GuardName.P99_SLO, new, STABLE, slo_ms=7.5).state == "holds"
    assert judge(GuardName.P99_SLO, new, STABLE, slo_ms=6.8).state == "breached"


def test_a_stable_that_takes_as_long_as_the_limit_keeps_it() -> None:
    new, stable = tally_of(requests(fast=7, slow=3), 6), tally_of(requests(fast=200, ms=7.5))
    verdict = judge(GuardName.P99_SLO, new, stable, slo_ms=7.5)
    assert verdict.state == "breached"
    assert "0 % of 2,000 of version 3 did" in verdict.text


def test_p99_against_stable_is_a_breach_above_the_ratio() -> None:
    slow = tally_of(requests(fast=20, ms=9.0))
    stable = tally_of(requests(fast=200, ms=5.0))
    verdict = judge(GuardName.P99_STABLE, slow, stable)
    assert verdict.state == "breached"
    assert verdict.limit == pytest.approx(7.5, rel=0.1)
    assert "1.5 x the 5.44 ms of version 3" in verdict.text
    wide = Guards(max_p99_ratio=2.0)
    assert judge(GuardName.P99_STABLE, slow, stable, guards=wide).state == "holds"


def test_a_p99_below_min_p99_ms_is_no_breach() -> None:
    verdict = judge(GuardName.P99_STABLE, tally_of(requests(fast=20, ms=4.5)), STABLE)
    assert verdict.state == "holds"
    assert verdict.limit == 5.0
    assert "below 5 all is well" in verdict.text


def test_p99_against_stable_waits_until_that_is_known() -> None:
    new, few = tally_of(requests(fast=20, ms=60.0)), tally_of(requests(fast=30))
    verdict = judge(GuardName.P99_STABLE, new, few)
    assert verdict.state == "waiting"
    assert verdict.text == (
        "p99: version 3 has answered 300 requests, its p99 takes about 872 to know"
    )


def test_a_guard_that_knows_too_little_of_stable_does_not_wait_for_ever() -> None:
    new, few = tally_of(requests(fast=100)), tally_of(requests(fast=30))
    assert judge(GuardName.P99_STABLE, new, few).state == "off"
    assert judge(GuardName.P99_STABLE, NOTHING, few, alone=True).state == "off"


@pytest.mark.parametrize("name", [GuardName.ERRORS, GuardName.REFUSALS, GuardName.SCORES])
def test_without_stable_there_is_nothing_to_compare_with(name: GuardName) -> None:
    new = tally_of(requests(fast=50))
    assert judge(name, new, NOTHING).state == "waiting"
    assert judge(name, new, NOTHING, alone=True).state == "off"


@pytest.mark.parametrize("name", [name for name, _ in GUARDS if name != GuardName.DISAGREEMENT])
def test_no_guard_holds_before_it_has_seen_enough(name: GuardName) -> None:
    new = tally_of(requests(fast=10))
    assert judge(name, new, STABLE, slo_ms=50.0, needed=101).state == "waiting"
    verdict = judge(name, new, STABLE, slo_ms=50.0, needed=100)
    assert (verdict.state, verdict.samples, verdict.needed) == ("holds", 100, 100)


def test_scores_that_moved_are_a_breach() -> None:
    moved = tally_of(Sample(answered=25, scores={1300: 25}))
    verdict = judge(GuardName.SCORES, moved, STABLE)
    assert verdict.state == "breached"
    assert verdict.new == pytest.approx(0.8)
    assert verdict.text.startswith(
        "scores: the distributions of version 4 and version 3 differ by 0.80"
        " over 250 and 2,000 requests (at least 0."
    )


def test_rows_of_few_requests_are_no_breach() -> None:
    moved = tally_of(Sample(answered=1, scores={1300: 1000}))
    assert judge(GuardName.SCORES, moved, STABLE).state == "waiting"


def test_a_model_without_scores_has_no_guard_of_them() -> None:
    plain = tally_of(Sample(answered=20))
    verdict = judge(GuardName.SCORES, plain, plain)
    assert verdict.state == "off"
    assert "no output that is a score" in verdict.text


def test_a_version_that_gives_no_scores_any_more_does_not_go_on() -> None:
    verdict = judge(GuardName.SCORES, tally_of(Sample(answered=2000)), STABLE)
    assert verdict.state == "waiting"
    assert "has given none yet" in verdict.text


def test_disagreement_is_judged_by_the_copies() -> None:
    guards = Guards(max_disagreement=0.05)
    bad = tally_of(Sample(compared=20, disagreed=4, shadow_failed=1))
    verdict = judge(GuardName.DISAGREEMENT, bad, NOTHING, guards=guards)
    assert verdict.state == "breached"
    assert verdict.text.startswith("disagreement: 23.8 % of 210 copies to version 4 (at least ")
    good = tally_of(Sample(compared=20))
    assert judge(GuardName.DISAGREEMENT, good, NOTHING, guards=guards).state == "holds"


def test_without_copies_a_rollout_waits_and_says_what_to_do() -> None:
    verdict = judge(
        GuardName.DISAGREEMENT, STABLE, STABLE, guards=Guards(max_disagreement=0.05), alone=True
    )
    assert verdict.state == "waiting"
    assert "let it shadow before the rollout" in verdict.text


def test_guards_that_nobody_asked_for_are_off() -> None:
    guards = Guards(
        max_error_rate_increase=None,
        max_refusal_rate_increase=None,
        max_p99_ratio=None,
        max_score_shift=None,
    )
    for name, _ in GUARDS:
        verdict = judge(name, tally_of(Sample(failed=50)), STABLE, guards=guards)
        assert verdict.state == "off"
        assert verdict.samples == 500
        assert verdict.text.startswith(name.value)
