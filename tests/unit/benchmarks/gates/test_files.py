"""Reading gate files: what is found, and what a wrong one is told."""

import re

import pytest

from benchmarks.gates.files import EXAMPLE, load, shipped
from benchmarks.scenarios.catalogue import SCENARIOS
from benchmarks.yaml_file import YamlFileError

MINIMAL = """\
schema: 1
name: mine
scenarios:
  - name: server_fixed
    params: {rate: 1000}
    gates:
      - {metric: error_rate, op: "<=", value: 0}
"""


@pytest.fixture
def gate_file(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(MINIMAL)
    return path


def test_load_reads_a_file(gate_file):
    loaded = load(str(gate_file))
    assert loaded.spec.scenarios[0].gates[0].text() == "error_rate ≤ 0"
    assert len(loaded.sha256) == 64


def test_load_applies_settings_by_path_index_and_name(gate_file):
    settings = ["defaults.duration_s=2", "scenarios.server_fixed.params.rate=50", "model=fraud"]
    spec = load(str(gate_file), [*settings, "scenarios.0.gates.0.value=0.5"]).spec
    assert spec.defaults.duration_s == 2
    assert spec.scenarios[0].params == {"rate": 50}
    assert (spec.model, spec.scenarios[0].gates[0].value) == ("fraud", 0.5)


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("model", "write it as"),
        ("model=[", "not YAML"),
        ("scenarios.soak.params.rate=1", "there are server_fixed"),
    ],
)
def test_load_explains_a_wrong_setting(gate_file, setting, words):
    with pytest.raises(YamlFileError, match=words):
        load(str(gate_file), [setting])


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("gates:", "gate:", r"scenarios.0.gate: no such field \(did you mean `gates`"),
        ("schema: 1", "schema: 2", "schema: should be 1"),
        ("name: mine\n", "", "name: is missing"),
        ("value: 0", "value: low", r"gates.0.value: should be a valid number.*in the metric's"),
        ("  - name", " x - name", "not YAML"),
        ('op: "<=", value: 0', "max_ratio: 1", "no `baseline`: add `baseline: {ref: auto}`"),
    ],
)
def test_load_names_file_field_and_remedy(gate_file, old, new, words):
    gate_file.write_text(MINIMAL.replace(old, new))
    with pytest.raises(YamlFileError, match=words) as caught:
        load(str(gate_file))
    assert str(caught.value).startswith(str(gate_file))


def test_load_names_the_shipped_files_where_there_is_no_such_file():
    with pytest.raises(YamlFileError, match="--init FILE"):
        load("nosuch.yaml")


@pytest.mark.parametrize("name", [*sorted(shipped()), str(EXAMPLE)])
def test_shipped_file_fits_the_scenarios(name):
    spec = load(name).spec
    for scenario in spec.scenarios:
        known = SCENARIOS[scenario.kind]
        assert scenario.params.keys() <= known.defaults.keys()
        patterns = [re.sub(r"\\\{\w+\\\}", ".+", re.escape(metric)) for metric in known.metrics]
        for gate in scenario.gates if patterns else ():
            assert any(re.fullmatch(one, gate.metric) for one in patterns), gate.metric


def test_smoke_nightly_and_release_are_shipped():
    assert {"smoke", "nightly", "release", "data_plane"} <= shipped().keys()
    assert "example" not in shipped()


def test_release_proves_the_headline_with_thirty_thousand_requests():
    scenarios = {one.name: one for one in load("release").spec.scenarios}
    for protocol in ("http", "grpc"):
        headline = scenarios[f"headline_{protocol}"]
        assert headline.params["rate"] * headline.params["duration_s"] >= 30_000
        assert {gate.text() for gate in headline.gates} >= {
            "latency_ms.p99 < 100",
            "error_rate ≤ 0",
            "requests ≥ 30,000",
        }


@pytest.mark.parametrize("name", sorted(shipped()))
def test_shipped_rounds_are_not_mostly_warm_up(name):
    spec = load(name).spec
    for scenario in spec.scenarios:
        if scenario.kind == "ab_cpu":
            assert scenario.params["warmup_s"] < scenario.params["round_s"] / 2
            assert scenario.params["rounds"] >= 24
            assert scenario.params["starts"] >= 8
