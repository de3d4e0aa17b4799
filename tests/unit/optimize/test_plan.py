from __future__ import annotations

import pytest

from optimize.errors import OptimizeError
from optimize.plan import candidates, parse_stages


def names(steps: list[object] | None) -> list[str]:
    return [each.artefact_name for each in candidates(parse_stages(steps), [1])]


def test_candidates_are_all_combinations_the_simplest_first() -> None:
    steps: list[object] = [{"choose": ["none", "quantize-dynamic"]}, {"choose": ["none", "clean"]}]
    assert names(steps) == [
        "export",
        "export → clean",
        "export → quantize-dynamic",
        "export → quantize-dynamic → clean",
    ]


def test_a_list_of_values_tries_each() -> None:
    found = names([{"quantize-dynamic": {"reduce_range": [False, True]}}])
    assert found == ["export → quantize-dynamic", "export → quantize-dynamic(reduce_range=True)"]


def test_a_parameter_that_is_a_list_is_one_value() -> None:
    assert names([{"quantize-dynamic": {"keep": ["first", "last"]}}]) == [
        "export → quantize-dynamic(keep=first+last)"
    ]


def test_threads_multiply_the_candidates() -> None:
    assert [each.threads for each in candidates(parse_stages(["clean"]), [1, 2])] == [1, 2]


@pytest.mark.parametrize("steps", [["distill"], [{"compile": {"level": "utmost"}}], [3]])
def test_parse_stages_says_what_there_is(steps: list[object]) -> None:
    with pytest.raises(OptimizeError, match=r"optimize\.steps.*(there are|parameters are)"):
        parse_stages(steps)
