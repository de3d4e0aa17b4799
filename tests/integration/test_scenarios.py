"""Scenarios against the server itself, as briefly as they go: what they document, and no more."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.context import Context, penstock_command
from benchmarks.inputs.source import Inputs
from benchmarks.scenarios import catalogue
from benchmarks.subject import Launch

MODELS = Path(__file__).parents[2] / "models"
BRIEF = {"rounds": 1, "round_s": 0.3}
OWN_MODELS = {
    "startup": {"starts": 1},
    "small_requests": {**BRIEF, "levels": (4,)},
    "heavy_batches": BRIEF,
    "binary_and_rows": BRIEF,
    "large_tensor": BRIEF,
    "metrics_cost": BRIEF,
    "cache_hit": {**BRIEF, "levels": (4,)},
    "overload": {"burst_s": 0.5, "capacity_s": 0.5, "factors": (1.5,)},
    "step_burst": {"use": "elastic", "rate": 100, "normal_s": 0.5, "burst_s": 0.5, "warmup_s": 0},
    "rolling_update": {"rate": 200, "before_s": 0.5, "during_s": 4, "updates": 1},
    "canary_switch": {"rate": 200, "shares": (50,), "before_s": 0.5, "hold_s": 1},
    "rollout": {
        "kinds": ("good",),
        "rate": 200,
        "steps": (50, 100),
        "min_requests": 20,
        "hold_s": 0.5,
        "before_s": 0.5,
        "during_s": 6,
    },
    "batch_transport": {"rows": 2, "batches": 20, "warmup": 2},
}
SHORT = {"duration_s": 0.5, "warmup_s": 0.2}


@pytest.fixture
def context(tmp_path):
    if not list(MODELS.glob("fraud/*/model.onnx")):
        pytest.skip("the models are not built: run `make models`")
    return Context(tmp_path, Launch(MODELS, penstock=penstock_command()))


@pytest.fixture
def own_models_only(tmp_path):
    """For scenarios that bring all of their models."""
    return Context(tmp_path, Launch(tmp_path, penstock=penstock_command()))


def undocumented(name, metrics):
    """Metrics that no documented name, with any parameter's value in place, stands for."""
    documented = "|".join(
        re.sub(r"\\\{\w+\\\}", "[^.]+", re.escape(one)) for one in catalogue.SCENARIOS[name].metrics
    )
    return [metric for metric in metrics if not re.fullmatch(documented, metric)]


@pytest.mark.parametrize("name", OWN_MODELS)
def test_scenario_of_the_server_itself_yields_what_it_documents(own_models_only, name):
    measured = catalogue.run(name, own_models_only, OWN_MODELS[name])

    assert not measured.unsupported
    assert measured.metrics
    assert not undocumented(name, measured.metrics)
    assert measured.metrics.get("error_rate", 0.0) == 0.0


def test_rolling_update_of_a_server_without_replicas_is_seen_through(own_models_only):
    params = {"rate": 200, "before_s": 0.5, "during_s": 6, "updates": 2}

    metrics = catalogue.run("rolling_update", own_models_only, params).metrics

    assert (metrics["wrong"], metrics["lost"], metrics["old_answers"]) == (0, 0, 0)
    assert metrics["updates"] == 2


@pytest.mark.parametrize("name", ["replica_kill", "remote_cost"])
def test_server_without_replicas_is_told_from_one_that_has_some(own_models_only, name):
    params = {"flags": ["--strict"]} if name == "remote_cost" else {}

    measured = catalogue.run(name, own_models_only, params)

    assert "runs models in its own process" in measured.unsupported


@pytest.mark.parametrize("model", ["fraud", "digits"])
@pytest.mark.parametrize("protocol", ["http", "grpc", "grpc_stream"])
def test_server_fixed_drives_the_models_that_come_with_it(context, model, protocol):
    params = {"model": model, "protocol": protocol, "rate": 300.0, **SHORT}

    measured = catalogue.run("server_fixed", context, params)

    assert measured.metrics["error_rate"] == 0.0
    assert measured.metrics["requests"] > 50
    assert not undocumented("server_fixed", measured.metrics)


@pytest.mark.parametrize(
    ("protocol", "encoding"), [("http", "json"), ("http", "binary"), ("grpc", "binary")]
)
def test_recorded_request_goes_by_every_protocol(context, protocol, encoding):
    recorded = replace(context, inputs=Inputs(recorded=MODELS / "fraud" / "request.json"))
    params = {"model": "fraud", "protocol": protocol, "encoding": encoding, **SHORT}

    measured = catalogue.run("single_stream", recorded, params)

    assert measured.metrics["error_rate"] == 0.0
    assert measured.metrics["requests"] > 20


def test_batch_sweep_yields_what_it_documents(context):
    params = {"model": "fraud", "sizes": (1, 256), **SHORT}

    measured = catalogue.run("batch_sweep", context, params)

    assert measured.metrics["error_rate"] == 0.0
    assert not undocumented("batch_sweep", measured.metrics)
