"""The course of a load: replicas, what is refused, and how long answers take."""

import pytest

from benchmarks.autoscaling.capacity import given
from benchmarks.autoscaling.simulate import Answers, simulate
from benchmarks.autoscaling.trace import Trace, made
from serve.config import ModelConfig

START_S = 15


def course(rates, qps=1000, slo=None, **autoscaling):
    settings = {"max_replicas": 8, **autoscaling}
    config = ModelConfig.model_validate(
        {"autoscaling": settings, "slo": {"latency_ms": 100} if slo is None else slo}
    )
    trace = rates if isinstance(rates, Trace) else Trace("made", tuple(rates))
    return simulate(trace, config, given(qps, config), START_S)


def answered(seconds):
    return sum(one.count for second in seconds for one in second.answers)


def test_steady_load_is_carried_by_the_same_replicas_and_none_is_refused():
    seconds = course(made("steady", 1700, 0))
    assert {(one.ready, one.paid, one.refused) for one in seconds} == {(3, 3, 0)}
    assert answered(seconds) == pytest.approx(1700 * 3600)
    assert seconds[0].utilisation == pytest.approx(1700 / 3000)


def test_more_load_gets_replicas_after_the_delay_and_the_start():
    seconds = course([300] * 60 + [1700] * 300, upscale_delay_s=5, look_back_s=1)
    paid = [one.paid for one in seconds]
    ready = [one.ready for one in seconds]
    assert paid[:66] == [1] * 66
    assert paid[66] == 2
    assert ready.index(2) == 66 + START_S
    assert paid[-1] == 3
    assert seconds[70].refused == pytest.approx(700, rel=0.1)  # what one cannot carry
    assert seconds[-1].refused == 0


def test_every_prediction_is_answered_or_refused_or_waits():
    seconds = course(made("burst", 3000, 200))
    asked = sum(one.asked for one in seconds)
    refused = sum(one.refused for one in seconds)
    assert refused > 0
    assert answered(seconds) + refused == pytest.approx(asked)


def test_idle_model_rests_and_its_first_prediction_waits_for_the_start():
    rates = [100] * 10 + [0] * 200 + [1] + [0] * 30
    seconds = course(rates, min_replicas=0, downscale_delay_s=60, slo={})
    paid = [one.paid for one in seconds]
    assert paid[209] == 0
    assert 60 <= paid.index(0) - 10 <= 75
    (first,) = [one for second in seconds[210:] for one in second.answers if one.count]
    assert first.count == 1
    assert START_S <= first.base_s <= START_S + 1


def test_first_prediction_is_refused_when_the_start_takes_too_long():
    rates = [0] * 10 + [1] + [0] * 60
    seconds = course(rates, min_replicas=0, cold_start_timeout_s=5, slo={})
    assert sum(one.refused for one in seconds) == 1
    assert answered(seconds) == 0
    assert seconds[15].refused == 1


def test_rate_below_one_is_predictions_now_and_then():
    seconds = course([0.01] * 1000)
    assert [one.asked for one in seconds].count(1) == 10
    assert {one.asked for one in seconds} == {0, 1}


def test_without_a_latency_target_predictions_wait_and_get_replicas():
    seconds = course([30] * 30 + [170] * 120, qps=100, slo={}, upscale_delay_s=2, look_back_s=2)
    assert sum(one.refused for one in seconds) == 0
    slowest = max(one.base_s for second in seconds for one in second.answers)
    assert slowest > 5
    assert max(one.paid for one in seconds) > 3


def test_later_than_counts_those_behind_the_limit():
    answers = Answers(100, 0.01, 0.5, 0.01)
    assert answers.later_than(0.005) == 100
    assert answers.later_than(0.01) == 50
    assert answers.later_than(0.02) == pytest.approx(50 / 2.71828, rel=1e-3)
    assert Answers(100, 0.01).later_than(0.01) == 0
