"""Counting the verdicts on servers that are known to be slower, or the same."""

import subprocess
import sys

from benchmarks.gates.selfcheck import Checked, fewest, mistakes, summary
from benchmarks.gates.slowed import write_slowed
from benchmarks.gates.verdict import Verdict


def checked(kind, verdict):
    return Checked(kind, 0.1, Verdict(verdict), ((1.0, 0.9, 1.1),), 0.0, "2026-12-01", {})


def test_summary_counts_each_kind():
    seen = [
        *(checked("slowed", one) for one in ("fail", "fail", "inconclusive")),
        checked("identical", "pass"),
    ]

    assert summary(seen).splitlines() == [
        "slowed: 3 runs: 2 fail, 1 inconclusive; pass would be wrong",
        "identical: 1 runs: 1 pass; fail would be wrong",
    ]


def test_only_a_slowed_pass_and_an_identical_fail_are_mistakes():
    verdicts = ("pass", "fail", "inconclusive", "invalid")

    assert mistakes(checked("slowed", one) for one in verdicts) == 1
    assert mistakes(checked("identical", one) for one in verdicts) == 1


def test_runs_go_on_with_the_kind_that_was_run_least():
    seen = [checked("slowed", "fail"), checked("identical", "pass"), checked("slowed", "fail")]

    assert fewest([], 1) == "slowed"
    assert fewest(seen, 2) == "identical"
    assert fewest([*seen, checked("identical", "invalid")], 2) == "identical"
    assert fewest([*seen, checked("identical", "pass")], 2) is None


def test_slowed_command_is_a_penstock(tmp_path):
    command = write_slowed(tmp_path / "penstock", 3.0)
    done = subprocess.run([command, "version"], capture_output=True, text=True, check=True)

    assert done.stdout.strip()
    assert "EXTRA_NS = 3000" in command.read_text()
    assert sys.executable in command.read_text()
