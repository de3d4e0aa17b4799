"""The watch of a step: how soon it tells a bad version, and that it leaves a good one alone."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.rollout_power import Behaviour, breached_after, drawn, false_alarm, watch_at
from serve.config.traffic import Guards
from serve.traffic.judge import GuardName, Verdict, Watch, spent, watch_of
from serve.traffic.samples import Sample
from serve.traffic.state import Rollout

GOOD = Behaviour()


def by_name(verdicts: tuple[Verdict, ...]) -> dict[str, Verdict]:
    return {verdict.guard.value: verdict for verdict in verdicts}


def total(random: np.random.Generator, requests: int, how: Behaviour = GOOD) -> Sample:
    return drawn(random, requests, how)


def test_parts_of_alpha_add_up_to_it() -> None:
    assert sum(spent(0.01, number) for number in range(100_000)) == pytest.approx(0.01, rel=1e-4)


def test_the_first_look_is_where_the_step_begins() -> None:
    random = np.random.default_rng(1)
    bad = total(random, 5000, Behaviour(failed=0.5, slow=0.5))
    watch = Watch(Guards(), 10.0, 0.005)
    assert all(v.state in ("waiting", "off") for v in watch.see(0.0, bad, total(random, 5000)))
    assert all(v.samples == 0 for v in watch.see(0.5, bad, total(random, 5000)))


@pytest.mark.parametrize(
    ("bad", "guard", "most"),
    [
        (Behaviour(failed=0.2), GuardName.ERRORS, 90),
        (Behaviour(refused=0.3), GuardName.REFUSALS, 110),
        (Behaviour(slow=0.5), GuardName.P99_SLO, 50),
        (Behaviour(slow=0.5, slow_ms=8.0), GuardName.P99_STABLE, 60),
        (Behaviour(score=1.349), GuardName.SCORES, 250),
    ],
)
def test_a_bad_version_is_told_soon(bad: Behaviour, guard: GuardName, most: int) -> None:
    found = []
    for seed in range(5):
        requests, verdict = breached_after(
            np.random.default_rng(seed),
            watch_at(0, Guards()),
            new=bad,
            stable=GOOD,
            share=0.02,
            looks=200,
        )
        assert verdict is not None
        assert verdict.guard == guard
        assert "version 4" in verdict.text
        found.append(requests)
    assert sorted(found)[2] <= most


@pytest.mark.parametrize(
    ("new", "stable"),
    [
        (GOOD, GOOD),
        (Behaviour(failed=0.05), Behaviour(failed=0.04)),
        (Behaviour(slow=0.01), GOOD),
        (Behaviour(score=0.507), GOOD),  # at a distance of 0.2
    ],
)
def test_a_version_within_the_limits_is_left_alone(new: Behaviour, stable: Behaviour) -> None:
    alarms = [
        false_alarm(
            np.random.default_rng(seed),
            Guards(confidence=0.75),
            new,
            stable,
            looks=15,
            per_look=20.0,
        )
        for seed in range(8)
    ]
    assert sum(alarm is not None for alarm in alarms) <= 2


def test_what_happens_to_both_versions_is_no_breach() -> None:
    random = np.random.default_rng(3)
    watch = watch_at(2, Guards())
    new = stable = Sample()
    watch.see(0.0, new, stable)
    for look in range(1, 120):
        outage = Behaviour(failed=0.6, slow=0.5) if look % 20 < 5 else GOOD
        new = new.plus(total(random, 25, outage))
        stable = stable.plus(total(random, 75, outage))
        verdicts = watch.see(look / 2, new, stable)
        assert not [v.text for v in verdicts if v.state == "breached"]


def test_a_version_that_turns_bad_after_a_good_hour_is_told_in_seconds() -> None:
    random = np.random.default_rng(4)
    watch = watch_at(1, Guards(max_score_shift=None, max_p99_ratio=None))
    new = stable = Sample()
    watch.see(0.0, new, stable)
    minute, others = total(random, 3000), total(random, 6000)
    for look in range(1, 121):
        new, stable = new.plus(minute), stable.plus(others)
        watch.see(30.0 * look, new, stable)
    for look in range(1, 41):
        new = new.plus(total(random, 25, Behaviour(failed=0.2)))
        stable = stable.plus(total(random, 50))
        verdict = by_name(watch.see(3600 + look / 2, new, stable))["errors"]
        if verdict.state == "breached":
            break
    assert look <= 10
    assert "(the last " in verdict.text
    assert verdict.text.endswith(" s of version 4)")


def test_a_breach_stays_one() -> None:
    random = np.random.default_rng(5)
    watch = watch_at(0, Guards())
    new = stable = Sample()
    watch.see(0.0, new, stable)
    for look in range(1, 6):
        new = new.plus(total(random, 40, Behaviour(failed=0.5)))
        stable = stable.plus(total(random, 400))
        breached = by_name(watch.see(float(look), new, stable))["errors"]
    assert breached.state == "breached"
    new = new.plus(total(random, 20_000))
    assert by_name(watch.see(9.0, new, stable))["errors"] == breached


def test_counters_that_fall_lose_only_what_came_in_between() -> None:
    random = np.random.default_rng(6)
    watch = watch_at(0, Guards())
    new, stable = total(random, 1000), total(random, 9000)
    watch.see(0.0, new, stable)
    new, stable = new.plus(total(random, 200)), stable.plus(total(random, 900))
    before = by_name(watch.see(0.5, new, stable))
    restarted, others = total(random, 7), total(random, 30)
    after = by_name(watch.see(1.0, restarted, others))
    assert after["errors"].samples == before["errors"].samples == 200
    later = by_name(watch.see(1.5, restarted.plus(total(random, 5)), others))
    assert later["errors"].samples == 205
    assert all(verdict.samples >= 0 for verdict in later.values())


def test_at_the_last_step_the_new_version_meets_all_that_is_known_of_stable() -> None:
    random = np.random.default_rng(7)
    rollout = Rollout(version=4, stable=3, steps=(50.0, 100.0), hold_s=60.0, step=1)
    watch = watch_of(rollout, Guards(), 50.0, 1)
    new, stable = total(random, 500), total(random, 5000)
    watch.see(0.0, new, stable)
    for look in range(1, 21):
        new = new.plus(total(random, 20, Behaviour(typical_ms=6.0)))
        verdicts = by_name(watch.see(look / 2, new, stable))
    assert verdicts["p99_stable"].state == "breached"
    assert verdicts["p99_slo"].state == "holds"
    assert verdicts["errors"].state == "holds"
    assert "5,000 of version 3" in verdicts["errors"].text


def test_a_last_step_without_a_stable_that_is_known_can_end() -> None:
    random = np.random.default_rng(8)
    rollout = Rollout(version=4, stable=3, steps=(100.0,), hold_s=60.0, step=0)
    watch = watch_of(rollout, Guards(), 50.0, 0)
    watch.see(0.0, Sample(), Sample())
    verdicts = by_name(watch.see(1.0, total(random, 200), Sample()))
    assert {name: verdict.state for name, verdict in verdicts.items()} == {
        "errors": "off",
        "p99_slo": "holds",
        "p99_stable": "off",
        "refusals": "off",
        "disagreement": "off",
        "scores": "off",
    }


def test_copies_made_before_the_rollout_count() -> None:
    watch = Watch(Guards(max_disagreement=0.01), None, 0.005)
    shadowed = Sample(compared=500, disagreed=1)
    assert by_name(watch.see(0.0, shadowed, Sample()))["disagreement"].state == "holds"


def test_requests_that_come_one_a_minute_are_waited_for() -> None:
    random = np.random.default_rng(9)
    watch = watch_at(2, Guards(min_requests=5))
    new = stable = Sample()
    watch.see(0.0, new, stable)
    for minute in range(1, 31):
        new, stable = new.plus(total(random, 1)), stable.plus(total(random, 3))
        verdicts = by_name(watch.see(60.0 * minute, new, stable))
        assert verdicts["errors"].state == ("waiting" if minute < 5 else "holds")
