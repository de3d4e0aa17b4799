"""What a gate file would do: the parameters, and the time it takes."""

import pytest

from benchmarks.gates.files import load, shipped
from benchmarks.gates.plan import PREFLIGHT_S, plan
from benchmarks.scenarios import catalogue

MINUTES = {
    "smoke": 3,
    "nightly": 20,
    "release": 40,
    "data_plane": 15,
    "optimised": 15,
    "ray": 10,
    "data_plane_ray": 15,
    "reloads": 4,
    "rollouts": 6,
}
"""What docs/benchmarks.md says."""


@pytest.mark.parametrize("name", shipped())
def test_shipped_file_ends_in_the_time_that_the_documentation_says(name):
    planned = plan(load(name).spec)

    assert planned.lasts_s <= planned.budget_s <= MINUTES[name] * 60


@pytest.mark.parametrize("name", ["nightly", "release"])
def test_file_begins_nothing_long_at_the_end_of_its_budget(name):
    planned = plan(load(name).spec)

    assert planned.budget_s + planned.scenarios[-1].lasts_s <= MINUTES[name] * 60


def test_plan_adds_up(tmp_path):
    planned = plan(load("smoke", ["scenarios.headline_http.params.duration_s=100"]).spec)

    lasts_s = {one.name: one.lasts_s for one in planned.scenarios}
    assert planned.lasts_s == pytest.approx(PREFLIGHT_S + sum(lasts_s.values()))
    assert lasts_s["headline_http"] == pytest.approx(lasts_s["headline_grpc"] + 90)


@pytest.mark.parametrize(
    ("setting", "words"),
    [("scenario=nosuch", "there is no scenario nosuch"), ("params.rates=1", "has no parameter")],
)
def test_plan_names_what_is_wrong(setting, words):
    with pytest.raises(ValueError, match=words):
        plan(load("smoke", [f"scenarios.headline_http.{setting}"]).spec)


@pytest.mark.parametrize("name", catalogue.SCENARIOS)
def test_every_scenario_plans_its_defaults(name):
    assert 0 < catalogue.planned_s(name, {}) < 3600
