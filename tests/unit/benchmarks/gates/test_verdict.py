"""Which verdict wins, and what the shell is told."""

import pytest

from benchmarks.gates.verdict import EXIT_CODES, Verdict, combined

PASS, FAIL, ERROR = Verdict.PASS, Verdict.FAIL, Verdict.ERROR
INVALID, INCONCLUSIVE = Verdict.INVALID, Verdict.INCONCLUSIVE
UNSUPPORTED, SKIPPED = Verdict.UNSUPPORTED, Verdict.SKIPPED


@pytest.mark.parametrize(
    ("verdicts", "worst"),
    [
        ([PASS, PASS], PASS),
        ([PASS, FAIL, INVALID], FAIL),
        ([FAIL, ERROR], ERROR),
        ([PASS, INCONCLUSIVE, INVALID], INVALID),
        ([PASS, INCONCLUSIVE], INCONCLUSIVE),
        ([PASS, UNSUPPORTED], UNSUPPORTED),
        ([PASS, SKIPPED], PASS),
        ([SKIPPED], INVALID),
        ([], INVALID),
    ],
)
def test_combined_is_the_worst_and_nothing_judged_is_no_pass(verdicts, worst):
    assert combined(verdicts) is worst


def test_exit_codes_are_green_for_a_pass_alone():
    assert [verdict for verdict, code in EXIT_CODES.items() if code == 0] == [PASS]
    assert [EXIT_CODES[v] for v in (FAIL, ERROR, INVALID, INCONCLUSIVE)] == [1, 2, 3, 4]
