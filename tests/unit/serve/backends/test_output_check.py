from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from serve.backends.output_check import check_outputs
from serve.errors import BackendError
from serve.tensors import Signature, TensorSpec

SIGNATURE = Signature(
    (), (TensorSpec("score", "FP32", (-1, 2)), TensorSpec("word", "BYTES", (-1,))), batched=True
)
SCORE = np.zeros((3, 2), np.float32)
WORD = np.array([b"a", b"b", b"c"], object)


def test_check_outputs_gives_them_back_when_right() -> None:
    outputs = check_outputs(SIGNATURE, [SCORE, WORD], 3)
    assert outputs[0] is SCORE
    assert outputs[1] is WORD


def test_check_outputs_makes_fixed_width_strings_objects() -> None:
    outputs = check_outputs(SIGNATURE, [SCORE, np.array(["a", "b", "c"])], 3)
    assert outputs[1].dtype == object


@pytest.mark.parametrize(
    ("outputs", "says"),
    [
        ([SCORE], r"1 outputs in place of 2 \(score, word\)"),
        ([SCORE[:2], WORD], "'score' has 2 rows for a batch of 3"),
        ([SCORE, WORD[:1]], "'word' has 1 rows"),
        ([SCORE.astype(np.float64), WORD], "'score' has dtype float64"),
        ([SCORE[:, :1], WORD], r"'score' has shape \[3, 1\].*\[-1, 2\]"),
        ([SCORE[0], WORD], r"'score' has shape \[2\]"),
        ([SCORE.tolist(), WORD], "'score' is a list"),
        ([SCORE, np.zeros(3)], "'word' has dtype float64"),
    ],
)
def test_check_outputs_names_the_output_that_is_wrong(outputs: list[Any], says: str) -> None:
    with pytest.raises(BackendError, match=says):
        check_outputs(SIGNATURE, outputs, 3)


def test_check_outputs_ignores_rows_when_the_model_is_not_batched() -> None:
    signature = Signature((), (TensorSpec("score", "FP32", (-1, 2)),), batched=False)
    assert check_outputs(signature, [SCORE], 1) == [SCORE]
