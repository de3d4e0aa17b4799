"""Every scenario says what it measures, and can be run by its name."""

import re

import pytest

from benchmarks.attempt import Attempt
from benchmarks.context import Context
from benchmarks.scenarios import catalogue
from benchmarks.scenarios.catalogue import SCENARIOS, ParamsError
from benchmarks.subject import Given

METRIC = re.compile(r"[a-z{][a-z0-9_{}]*(\.[a-z0-9_{}]+)*")


@pytest.mark.parametrize("scenario", SCENARIOS.values(), ids=SCENARIOS)
def test_scenario_documents_itself(scenario):
    assert scenario.about.partition("\n")[0].endswith((".", "?", ","))
    assert all(scenario.descriptions.values())
    assert scenario.descriptions.keys() == scenario.defaults.keys()
    assert all(METRIC.fullmatch(name) and text for name, text in scenario.metrics.items())


def test_catalogue_has_them_all():
    assert set(SCENARIOS) >= {
        *("single_stream", "server_fixed", "max_qps", "saturation", "ab_cpu", "overload"),
        *("batch_sweep", "step_burst", "soak", "cold_start", "canary_switch", "replica_kill"),
    }


@pytest.mark.parametrize(
    ("params", "why"),
    [({"rat": 1}, "rat"), ({"rate": -1}, "rate"), ({"protocol": "x"}, "protocol")],
)
def test_run_says_which_parameter_is_wrong(toy_context, params, why):
    with pytest.raises(ParamsError, match=why):
        catalogue.run("server_fixed", toy_context, params)


@pytest.mark.parametrize("name", ["cold_start", "startup", "small_requests", "ab_cpu"])
def test_run_says_what_a_server_does_not_support(toy_server, tmp_path, name):
    context = Context(tmp_path, Given(f"127.0.0.1:{toy_server.http_port}"))

    measured = catalogue.run(name, context, {})

    assert measured.unsupported.startswith("unsupported by this server: ")
    assert (measured.metrics, measured.scenario) == ({}, name)


@pytest.mark.parametrize(
    ("name", "params", "why"),
    [
        ("canary_switch", {}, "does not divide traffic"),
        ("rollout", {}, "does not divide traffic"),
        ("replica_kill", {"use": "served"}, "it runs models in its own process"),
    ],
)
def test_run_says_what_the_toy_lacks(toy_context, name, params, why):
    assert why in catalogue.run(name, toy_context, params).unsupported


def test_attempt_keeps_what_it_was_told(toy_context):
    scenario = SCENARIOS["server_fixed"]
    with Attempt(toy_context, "s", scenario.params(rate=5.0)) as attempt:
        attempt.note("twice")
        attempt.note("twice")
        measured = attempt.measurement({"a": 1})

    assert (measured.notes, measured.params["rate"], measured.metrics) == (
        ("twice",),
        5.0,
        {"a": 1.0},
    )
