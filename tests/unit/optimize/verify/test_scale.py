from __future__ import annotations

import numpy as np
import pytest

from optimize.verify.scale import scale_gate

RNG = np.random.default_rng(3)
SCORES = RNG.normal(0, 3, (200, 4)).astype(np.float32)
NOISE = RNG.normal(0, 0.3, SCORES.shape).astype(np.float32)


def sigmoid(scores: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-scores))


@pytest.mark.parametrize("form", [lambda scores: scores, sigmoid])
def test_scale_gate_tells_a_factor_from_noise(form: object) -> None:
    wanted, noisy, scaled = (form(each) for each in (SCORES, SCORES + NOISE, SCORES * 1.2))  # type: ignore[operator]
    assert scale_gate({"y": noisy}, {"y": wanted}, 0.1).verdict == "pass"
    found = scale_gate({"y": scaled}, {"y": wanted}, 0.1)
    assert found.verdict == "fail"
    assert found.value == pytest.approx(0.2, abs=0.03)


def test_scale_gate_names_the_output_that_is_worst() -> None:
    wanted = {"a": SCORES, "b": SCORES}
    assert scale_gate({"a": SCORES, "b": SCORES * 0.5}, wanted, 0.1).detail.startswith("b is 0.500")


@pytest.mark.parametrize("wanted", [np.ones(50, np.float32), SCORES[:1], np.arange(9)])
def test_scale_gate_says_nothing_of_what_does_not_vary(wanted: np.ndarray) -> None:
    assert scale_gate({"y": wanted}, {"y": wanted}, 0.0).verdict == "pass"
