"""The exit status says how a run went."""

import pytest

from benchmarks.result import Verdict
from benchmarks.run import exit_status

PASS, FAIL, INVALID = Verdict.PASS, Verdict.FAIL, Verdict.INVALID


@pytest.mark.parametrize(
    ("verdicts", "errors", "status"),
    [
        ([PASS, PASS], 0, 0),
        ([PASS, FAIL, INVALID], 0, 1),
        ([PASS, INVALID], 0, 3),
        ([FAIL], 1, 2),
        ([], 0, 0),
    ],
)
def test_exit_status_is_the_worst_of_all(verdicts, errors, status):
    assert exit_status(verdicts, errors) == status
