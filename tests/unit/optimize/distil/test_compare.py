from __future__ import annotations

import numpy as np
import pytest

from optimize.distil.compare import Judge, Pair, comparison
from optimize.errors import OptimizeError

TRUTH = np.array([0, 1, 1, 0])


def test_comparison_gives_the_mean_difference_and_how_sure_it_is() -> None:
    pairs = [Pair(seed, {"accuracy": 0.9 + seed / 100}, {"accuracy": 0.8}) for seed in range(3)]
    found = comparison({"accuracy": 0.95}, pairs[0].taught, pairs)["accuracy"]
    assert (found["teacher"], found["student"]) == (0.95, 0.9)
    assert found["gain"] == pytest.approx(0.11)
    # 4.303 is Student's t for two degrees of freedom.
    assert found["gain_high"] - found["gain"] == pytest.approx(4.303 * 0.01 / 3**0.5)


def test_comparison_of_one_seed_claims_nothing() -> None:
    found = comparison({"r2": 0.5}, {"r2": 0.4}, [Pair(0, {"r2": 0.4}, {"r2": 0.3})])["r2"]
    assert "gain_low" not in found
    assert found["gain"] == pytest.approx(0.1)


def test_judge_takes_a_metric_of_all_rows_or_of_each() -> None:
    custom = {
        "m.py:all": lambda target, prediction: 0.25,
        "m.py:each": lambda target, prediction: target == prediction,
    }
    judge = Judge(TRUTH, ["accuracy", *custom], custom)
    scores = judge(np.array([0, 1, 0, 0]))
    assert scores == {"accuracy": 0.75, "m.py:all": 0.25, "m.py:each": 0.75}


def test_judge_refuses_a_metric_that_is_nan_for_the_original() -> None:
    judge = Judge(TRUTH, ["m.py:f"], {"m.py:f": lambda target, prediction: float("nan")})
    with pytest.raises(OptimizeError, match=r"metric m\.py:f of the original is nan"):
        judge.original(TRUTH)


def test_judge_names_a_metric_that_raises() -> None:
    judge = Judge(TRUTH, ["m.py:f"], {"m.py:f": lambda target, prediction: 1 / 0})
    with pytest.raises(OptimizeError, match=r"metric m\.py:f raised ZeroDivisionError"):
        judge(TRUTH)
