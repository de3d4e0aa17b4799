"""What a gate file may say."""

import pytest
from pydantic import ValidationError

from benchmarks.gates.spec import Baseline, Gate, GateFile, ServerSpec


@pytest.mark.parametrize(
    ("gate", "words"),
    [
        ({}, "give one limit"),
        ({"op": "<"}, "both `op` and `value`"),
        ({"op": "<", "value": 1, "max_ratio": 2}, "give one limit"),
        ({"op": "<", "value": 1, "method": "paired_starts"}, "for ratios"),
        ({"max_ratio": 1.1, "method": "plain"}, "for absolute limits"),
        ({"op": ">", "value": 1, "method": "early_stopping"}, "percentile is below"),
    ],
)
def test_gate_has_one_limit_that_its_method_can_judge(gate, words):
    with pytest.raises(ValidationError, match=words):
        Gate(metric="latency_ms.p99", **gate)


def test_early_stopping_is_for_percentiles():
    with pytest.raises(ValidationError, match="proves that a percentile"):
        Gate(metric="latency_ms.max", op="<", value=1, method="early_stopping")


@pytest.mark.parametrize(
    ("metric", "quiet"),
    [("latency_ms.p99", True), ("rate_per_s.ok", True), ("server_cpu_us_per_req", False)],
)
def test_gate_on_speed_needs_a_quiet_machine_unless_told_otherwise(metric, quiet):
    assert Gate(metric=metric, op="<", value=1).needs_quiet is quiet
    assert not Gate(metric=metric, op="<", value=1, requires="any").needs_quiet


def test_server_is_started_or_given_not_both():
    with pytest.raises(ValidationError, match="remove one"):
        ServerSpec(url="http://localhost:8000", flags=("--strict",))
    with pytest.raises(ValidationError, match="go with `url`"):
        ServerSpec(grpc_url="localhost:8001")


@pytest.mark.parametrize("sources", [{}, {"ref": "main", "installed": "penstock"}])
def test_baseline_has_one_source(sources):
    with pytest.raises(ValidationError, match="either `ref`"):
        Baseline(**sources)


def test_scenarios_of_a_file_have_names_of_their_own():
    one = {"name": "saturation"}
    with pytest.raises(ValidationError, match="two scenarios are named saturation"):
        GateFile(schema=1, name="x", scenarios=[one, one])


def test_gate_reads_as_people_write_it():
    assert Gate(metric="a.b", op="<=", value=1000).text() == "a.b ≤ 1,000"
    assert Gate(metric="a.b", max_ratio=1.05).text() == "a.b ≤ 1.05 × baseline"
