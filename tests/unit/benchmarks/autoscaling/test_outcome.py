"""What a course comes to: quantiles, replicas, money."""

import math

import pytest

from benchmarks.autoscaling.capacity import given
from benchmarks.autoscaling.outcome import (
    Machines,
    figures,
    fixed_replicas,
    quantile_ms,
    slices,
)
from benchmarks.autoscaling.simulate import Answers, Second
from benchmarks.cost.spec import PRICES, Prices
from benchmarks.yaml_file import read_mapping
from serve.config import ModelConfig

ASSUMED = Prices.model_validate(read_mapping(PRICES))
INSTANCE = ASSUMED.instances[0]
CONFIG = ModelConfig.model_validate({"slo": {"latency_ms": 100}})


def second(paid, *answers, asked=100.0, refused=0.0):
    return Second(
        asked=asked, ready=paid, paid=paid, utilisation=0.5, refused=refused, answers=answers
    )


def test_quantile_is_that_of_all_answers_together():
    assert quantile_ms([], 0.5) is None
    assert quantile_ms([Answers(0, 1.0)], 0.5) is None
    fast, slow = Answers(98, 0.01), Answers(2, 1.0)
    assert quantile_ms([fast, slow], 0.5) == pytest.approx(10)
    assert quantile_ms([fast, slow], 0.99) == pytest.approx(1000)
    exponential = Answers(10, 0.01, 1.0, 0.02)
    assert quantile_ms([exponential], 0.99) == pytest.approx(10 + 20 * math.log(100), rel=1e-3)


def test_figures_add_up():
    seconds = [second(2, Answers(100, 0.01))] * 1800
    seconds += [second(3, Answers(90, 0.2), refused=10)] * 1800
    found = figures(seconds, CONFIG, Machines(INSTANCE), ASSUMED)
    assert (found.asked, found.refused, found.late) == (360_000, 18_000, 162_000)
    assert (found.replicas_mean, found.replicas_most, found.changes) == (2.5, 3, 1)
    assert found.machine_hours == 2.5
    assert found.usd == pytest.approx(2.5 * INSTANCE.usd_per_hour)
    assert found.usd_per_month == pytest.approx(found.usd * 730)
    assert found.usd_per_million == pytest.approx(found.usd / 0.342)


def test_replicas_share_machines():
    seconds = [second(3, Answers(1, 0.01))] * 3600
    found = figures(seconds, CONFIG, Machines(INSTANCE, 2), ASSUMED)
    assert found.machine_hours == 2


def test_nothing_answered_costs_no_sum_a_million():
    found = figures([second(1, refused=100)], CONFIG, Machines(INSTANCE), ASSUMED)
    assert (found.usd_per_million, found.p50_ms) == (None, None)


def test_fixed_replicas_carry_the_peak_at_the_utilisation_wanted():
    capacity = given(1000, CONFIG)
    assert fixed_replicas(1200, capacity, CONFIG) == 2
    assert fixed_replicas(1201, capacity, CONFIG) == 3
    assert fixed_replicas(1, capacity, CONFIG) == 1


def test_slices_are_means_of_their_seconds():
    seconds = [second(1, Answers(100, 0.01))] * 5 + [second(3, asked=200, refused=50)] * 5
    first, last = slices(seconds, given(1000, CONFIG), Machines(INSTANCE), most=2)
    assert (first.start_s, last.start_s) == (0, 5)
    assert (first.asked_per_s, first.paid, first.capacity_per_s) == (100, 1, 1000)
    assert first.p99_ms == pytest.approx(10)
    assert (last.refused_per_s, last.p99_ms) == (50, None)
    assert last.usd_per_hour == pytest.approx(3 * INSTANCE.usd_per_hour)
