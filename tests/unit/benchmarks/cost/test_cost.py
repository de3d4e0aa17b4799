"""Money: the arithmetic, the price file, and where the throughput comes from."""

import json
import math
import os

import pytest
from pydantic import ValidationError

from benchmarks.cost.model import cost_of, machines_for, monthly_usd
from benchmarks.cost.page import render
from benchmarks.cost.spec import PRICES, Prices, Traffic
from benchmarks.cost.throughput import from_last_result, from_result, given
from benchmarks.cost.words import assumptions, verdict
from benchmarks.yaml_file import read_mapping
from tests.support.results import example


def prices(**changes):
    """The shipped file, without traffic unless a test sets it."""
    return Prices.model_validate({**read_mapping(PRICES), "traffic": {}, **changes})


@pytest.mark.parametrize(
    ("qps", "machines", "month", "marginal"),
    [(1000, 18, 1072, 0.0378), (5000, 5, 298, 0.0076), (10_000, 3, 179, 0.0038)],
)
def test_cost_of_ten_thousand_a_second(qps, machines, month, marginal):
    assumed = prices()
    found = cost_of(qps, assumed.instances[0], assumed)
    assert found.machines == machines
    assert round(found.usd_per_month) == month
    assert found.marginal_usd_per_million == pytest.approx(marginal, abs=1e-4)
    assert found.is_within_budget


def test_break_even_is_the_least_that_stays_within_the_budget():
    assumed = prices()
    least = cost_of(1000, assumed.instances[0], assumed).break_even_qps
    assert cost_of(least, assumed.instances[0], assumed).is_within_budget
    assert not cost_of(least * 0.99, assumed.instances[0], assumed).is_within_budget


def test_budget_below_a_machine_is_never_reached():
    assumed = prices(budget_usd_per_month=10)
    assert math.isinf(cost_of(1000, assumed.instances[0], assumed).break_even_qps)


def test_machines_carry_the_rate_at_the_planned_utilisation():
    assumed = prices(utilisation=0.5, spares=2)
    assert machines_for(1000, 500, assumed) == 4 + 2
    assert machines_for(1001, 500, assumed) == 5 + 2


def test_traffic_and_fixed_costs_are_added_where_they_have_a_price():
    traffic = {"bytes_out_per_prediction": 1000, "usd_per_gb_out": 0.1}
    sourced = {"source": "a page", "date": "2026-01-31"}
    assumed = prices(
        traffic={**traffic, **sourced}, fixed=[{"name": "x", "usd_per_month": 7, **sourced}]
    )
    found = cost_of(1000, assumed.instances[0], assumed)
    assert found.traffic_usd == pytest.approx(10_000 * 1000 * 730 * 3600 / 1e9 * 0.1)
    assert found.usd_per_month == pytest.approx(found.machines_usd + found.traffic_usd + 7)
    assert monthly_usd(10_000, 1000, assumed.instances[0], assumed) == found.usd_per_month


def test_price_without_source_is_refused():
    with pytest.raises(ValidationError, match="source"):
        Traffic(bytes_out_per_prediction=1, usd_per_gb_out=0.09)


def test_no_throughput_costs_no_sum():
    with pytest.raises(ValueError, match="costs no sum"):
        cost_of(0, prices().instances[0], prices())


def test_shipped_file_prices_ten_thousand_a_second_within_the_budget_traffic_included():
    assumed = Prices.model_validate(read_mapping(PRICES))
    found = cost_of(1000, assumed.instances[0], assumed)
    assert found.traffic_usd == pytest.approx(828, abs=1)
    assert found.is_within_budget
    assert "$828 a month" in dict(assumptions(given(1000), assumed))["traffic out"]


def result_file(tmp_path, metrics, verdict="pass", kind="max_qps", name="result.json"):
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    scenario = {"name": "highest", "scenario": kind, "verdict": verdict}
    scenario["params"] = {"rows": 2, "slo_ms": 100.0}
    scenario["attempts"] = [{"measurement": {"metrics": metrics}}]
    path.write_text(json.dumps({"scenarios": [scenario]}))
    return path


def test_throughput_is_the_confirmed_maximum_times_the_rows(tmp_path):
    path = result_file(tmp_path, {"max_qps_per_s": 3000.0, "goodput_per_s": 2900.0})
    assert from_result(path).qps == 6000


def test_throughput_of_a_fixed_rate_is_called_a_lower_bound(tmp_path):
    assert "lower bound" in from_result(result_file(tmp_path, {"goodput_per_s": 990.0})).notes[0]


def test_throughput_of_a_closed_loop_counts_only_within_the_slo(tmp_path):
    metrics = {"goodput_per_s": 990.0, "latency_ms.p99": 99.0}
    found = from_result(result_file(tmp_path, metrics, kind="saturation"))
    assert "closed loop" in found.notes[0]
    metrics["latency_ms.p99"] = 101.0
    with pytest.raises(ValueError, match="--qps"):
        from_result(result_file(tmp_path, metrics, kind="saturation"))


def test_last_result_is_the_newest_that_has_a_throughput(tmp_path):
    for age, (name, metrics) in enumerate(
        [("failed", {}), ("newer", {"max_qps_per_s": 7.0}), ("older", {"max_qps_per_s": 9.0})]
    ):
        path = result_file(tmp_path, metrics, name=f"{name}/result.json")
        os.utime(path, (1000 - age, 1000 - age))
    found = from_last_result([tmp_path / "absent", tmp_path])
    assert found.qps == 14
    assert "newer" in found.origin


def test_last_result_that_is_missing_is_told_with_the_remedy(tmp_path):
    with pytest.raises(ValueError, match="--only max_qps"):
        from_last_result([tmp_path])


@pytest.mark.parametrize(("metrics", "verdict"), [({}, "pass"), ({"max_qps_per_s": 9.0}, "fail")])
def test_throughput_that_was_not_proved_is_refused(tmp_path, metrics, verdict):
    with pytest.raises(ValueError, match="--qps"):
        from_result(result_file(tmp_path, metrics, verdict))


def test_throughput_is_read_from_what_a_run_writes(tmp_path):
    from benchmarks.report.folder import save_result

    result = example(tmp_path)
    with pytest.raises(ValueError, match="has one of max_qps_per_s"):
        from_result(save_result(result, tmp_path))


def test_every_assumption_is_shown():
    text = " ".join(" ".join(line) for line in assumptions(given(1000), prices()))
    for part in ("60%", "730", "$0.0816", "2026-06-17", "not included", "not measured"):
        assert part in text


def test_page_is_self_contained_and_says_the_verdict():
    assumed = prices()
    costs = [cost_of(1000, instance, assumed) for instance in assumed.instances]
    text = render(costs, given(1000), assumed)
    assert verdict(costs, assumed) in text
    assert text.count("<svg") == 2
    assert "src=" not in text
