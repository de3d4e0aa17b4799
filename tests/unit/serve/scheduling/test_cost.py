from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serve.scheduling.cost import CHEAP_NS, CHEAP_SAMPLING, CostModel


@pytest.mark.parametrize(("rows", "expected"), [(1, 100), (2, 150), (3, 200), (6, 400)])
def test_batch_ns_is_linear_between_and_beyond_sizes(rows: int, expected: int) -> None:
    assert CostModel({1: 100, 3: 200}).batch_ns(rows) == expected


def test_batch_ns_below_the_smallest_size_is_its_cost() -> None:
    assert CostModel({4: 100}).batch_ns(1) == 100


def test_observe_follows_a_lasting_change() -> None:
    cost = CostModel({1: 100, 8: 400})
    for _ in range(50):
        cost.observe(8, 800)
    assert cost.batch_ns(8) == pytest.approx(800, rel=0.05)


def test_observe_hardly_moves_for_one_hiccup() -> None:
    cost = CostModel({1: 100, 8: 400})
    cost.observe(8, 400_000)
    assert cost.batch_ns(8) <= 400 * 1.7


def test_observe_spreads_to_sizes_not_seen() -> None:
    cost = CostModel({1: 100, 8: 400, 64: 3200})
    for _ in range(300):
        cost.observe(1, 200)
    assert cost.batch_ns(64) == pytest.approx(6400, rel=0.1)


def test_efficient_rows_prefers_the_smaller_of_equals() -> None:
    assert CostModel({1: 100, 8: 400, 16: 800}).efficient_rows == 8


@pytest.mark.parametrize("profile", [{}, {0: 5}, {1: -1}])
def test_profile_is_refused_when_senseless(profile: dict[int, int]) -> None:
    with pytest.raises(ValueError, match="profile"):
        CostModel(profile)


@given(
    st.lists(st.tuples(st.integers(1, 300), st.integers(0, 10**12)), max_size=60),
    st.integers(1, 1000),
)
def test_batch_ns_stays_finite_whatever_is_observed(seen: list[tuple[int, int]], rows: int) -> None:
    cost = CostModel({1: 1000, 2: 1500, 128: 9000})
    for size, took_ns in seen:
        cost.observe(size, took_ns)
    assert cost.batch_ns(rows) >= 0
    assert cost.efficient_rows in (1, 2, 128)


def test_of_cheap_batches_one_in_many_is_learnt_from() -> None:
    model = CostModel({1: CHEAP_NS})
    learnt = [model.learn(1, CHEAP_NS) for _ in range(2 * CHEAP_SAMPLING)]
    assert sum(learnt) == 2
    assert learnt[0]
    assert all(model.learn(1, CHEAP_NS + 1) for _ in range(3))
