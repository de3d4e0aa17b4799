"""Running a gate file: retries, unsupported scenarios, errors, budget, interruption."""

import pytest

from benchmarks.attempt import Interrupted
from tests.support.fake_driver import FakeDriver, run
from tests.support.measurements import measurement, rounds

FILE = """\
schema: 1
name: mine
noise: {retries: 2}
defaults: {duration_s: 5}
budget: {max_minutes: 1}
scenarios:
  - {name: one, gates: [{metric: error_rate, op: "<=", value: 0}]}
  - {name: two, gates: [{metric: error_rate, op: "<=", value: 0}]}
"""


@pytest.fixture
def gate_file(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(FILE)
    return path


def good(seed):
    return measurement()


def bad(seed):
    return measurement({"error_rate": 0.5})


def late(seed):
    return measurement(invalid=("late",))


def interrupted(seed):
    raise KeyboardInterrupt


def test_run_passes_when_all_gates_do(gate_file):
    result, saved = run(gate_file, FakeDriver({"one": good, "two": good}))
    assert (result.verdict, result.exit_code) == ("pass", 0)
    assert [len(one.scenarios) for one in saved] == [1, 2, 2]
    assert saved[0].verdict == "invalid", "half a run is not green"


def test_run_fails_without_a_second_try(gate_file):
    driver = FakeDriver({"one": bad, "two": good})
    result, _ = run(gate_file, driver)
    assert result.exit_code == 1
    assert [name for name, _ in driver.asked] == ["one", "two"]


RATIO = """\
baseline: {ref: auto}
scenarios:
  - {name: one, gates: [{metric: server_cpu_us_per_req, max_ratio: 1.05}]}
"""


def compared(*ratios):
    """Answers of a driver whose measurements show these ratios, one after the other."""
    cpu = "server_cpu_us_per_req"
    left = iter(ratios)

    def answer(seed):
        return measurement({cpu: 30.0}, rounds=rounds(cpu, next(left), spread=0.01))

    return FakeDriver({"one": answer})


@pytest.mark.parametrize(("again", "verdict"), [(1.2, "fail"), (1.0, "inconclusive")])
def test_run_measures_a_missed_ratio_once_more_and_keeps_both(gate_file, again, verdict):
    gate_file.write_text(FILE.partition("scenarios:")[0] + RATIO)
    driver = compared(1.2, again)
    result, _ = run(gate_file, driver)
    first, second = result.scenarios[0].attempts
    assert (result.verdict, result.scenarios[0].verdict) == (verdict, verdict)
    assert (first.verdict, first.discarded) == ("fail", False)
    assert (second.confirms, second.findings[0].pairs) == (1, 24)
    assert driver.asked[0][1] != driver.asked[1][1]


def test_run_does_not_measure_a_kept_ratio_again(gate_file):
    gate_file.write_text(FILE.partition("scenarios:")[0] + RATIO)
    result, _ = run(gate_file, compared(1.0))
    assert (result.exit_code, len(result.scenarios[0].attempts)) == (0, 1)


def test_missed_ratio_is_inconclusive_where_the_budget_ends_before_the_second(gate_file):
    gate_file.write_text(FILE.partition("scenarios:")[0] + RATIO)
    seconds = iter(range(0, 1000, 25))
    result, _ = run(gate_file, compared(1.2), clock=lambda: next(seconds))
    assert result.verdict == "inconclusive"
    assert "budget of 1 minutes" in result.scenarios[0].findings[0].reason


def test_run_repeats_an_invalid_attempt_and_keeps_it(gate_file):
    attempts = iter([late, good])
    driver = FakeDriver({"one": lambda seed: next(attempts)(seed), "two": good})
    result, _ = run(gate_file, driver)
    first, second = result.scenarios[0].attempts
    assert result.exit_code == 0
    assert (first.discarded, first.verdict, first.findings[0].reason) == (True, "invalid", "late")
    assert (second.discarded, second.verdict) == (False, "pass")
    assert driver.asked[0][1] != driver.asked[1][1], "a new attempt has arrivals of its own"


def test_run_ends_invalid_when_every_attempt_was(gate_file):
    result, _ = run(gate_file, FakeDriver({"one": late, "two": good}))
    assert (result.exit_code, len(result.scenarios[0].attempts)) == (3, 3)


def test_run_does_not_retry_beyond_the_budget(gate_file):
    seconds = iter(range(0, 1000, 25))
    result, _ = run(gate_file, FakeDriver({"one": late, "two": good}), clock=lambda: next(seconds))
    assert len(result.scenarios[0].attempts) == 1
    assert "budget of 1 minutes" in result.scenarios[1].reason


def test_run_never_passes_a_scenario_that_the_server_does_not_support(gate_file):
    result, _ = run(gate_file, FakeDriver({"two": good}))
    assert (result.verdict, result.exit_code) == ("unsupported", 3)
    assert result.scenarios[0].reason == "there is no scenario one"


def test_run_shows_but_skips_an_unsupported_scenario_where_the_file_says_so(gate_file):
    gate_file.write_text(FILE.replace("name: one", "name: one, if_unsupported: skip"))
    result, _ = run(gate_file, FakeDriver({"two": good}))
    assert (result.scenarios[0].verdict, result.exit_code) == ("unsupported", 0)


def test_run_goes_on_after_an_error(gate_file):
    def broken(seed):
        raise OSError("no port")

    result, _ = run(gate_file, FakeDriver({"one": broken, "two": good}))
    assert result.exit_code == 2
    assert result.scenarios[0].attempts[0].error == "OSError: no port"
    assert result.scenarios[1].verdict == "pass"


def test_run_leaves_a_partial_result_when_interrupted(gate_file):
    result, saved = run(gate_file, FakeDriver({"one": good, "two": interrupted}))
    assert (result.interrupted, result.exit_code, result.verdict) == (True, 130, "invalid")
    assert [one.name for one in saved[-1].scenarios] == ["one"]
    assert result.notes == ("1 of 2 scenarios ran",)


def test_interrupted_run_keeps_the_attempts_that_were_over(gate_file):
    attempts = iter([late, interrupted])
    driver = FakeDriver({"one": lambda seed: next(attempts)(seed)})
    result, _ = run(gate_file, driver)
    assert [one.verdict for one in result.scenarios[0].attempts] == ["invalid"]


def test_interrupted_run_keeps_what_the_attempt_had_measured(gate_file):
    def stopped(seed):
        raise Interrupted(measurement(invalid=("interrupted during the load",)))

    result, _ = run(gate_file, FakeDriver({"one": stopped}))
    assert (result.exit_code, result.scenarios[0].verdict) == (130, "invalid")
    assert result.scenarios[0].measurement.invalid == ("interrupted during the load",)


def test_scenario_may_find_out_late_that_the_server_does_not_support_it(gate_file):
    answers = {"one": lambda seed: measurement({}, unsupported="no gRPC"), "two": good}
    result, _ = run(gate_file, FakeDriver(answers))
    assert (result.scenarios[0].verdict, result.scenarios[0].reason) == ("unsupported", "no gRPC")


def test_parameters_are_the_scenarios_own_over_the_files_over_the_built_in(gate_file):
    gate_file.write_text(FILE.replace("name: one", "name: one, params: {rate: 7}"))
    driver = FakeDriver({"one": good, "two": good})
    run(gate_file, driver)
    assert driver.params[0]["rate"] == 7
    assert (driver.params[0]["duration_s"], driver.params[0]["warmup_s"]) == (5.0, 3.0)


def test_unknown_parameter_is_an_error_that_names_those_there_are(gate_file):
    gate_file.write_text(FILE.replace("name: one", "name: one, params: {rates: 7}"))
    result, _ = run(gate_file, FakeDriver({"one": good, "two": good}))
    assert result.exit_code == 2
    assert result.scenarios[0].reason.endswith("(it has duration_s, protocol, rate, warmup_s)")


def test_scenario_without_gates_is_measured_and_decides_nothing(gate_file):
    gate_file.write_text(FILE + "  - {name: three}\n")
    result, _ = run(gate_file, FakeDriver({"one": good, "two": good, "three": late}))
    assert (result.scenarios[2].counts, result.exit_code) == (False, 0)
