"""``penstock bench autoscaling``: words, JSON, and a page that a browser draws."""

import json

import pytest

from benchmarks import cli
from tests.support.chromium import Chromium

SETTINGS = """
slo: {latency_ms: 100}
autoscaling: {min_replicas: 0, max_replicas: 8}
"""


@pytest.fixture
def model(tmp_path):
    (tmp_path / "m").mkdir()
    (tmp_path / "m/model.yaml").write_text(SETTINGS)
    return tmp_path / "m"


def called(*arguments):
    with pytest.raises(SystemExit) as ended:
        cli.main(["autoscaling", *map(str, arguments)])
    return ended.value.code


def test_result_is_printed_as_json(model, capsys):
    assert called(model, "--qps", "1000", "--trace", "burst", "--peak", "3000", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["autoscaling"]["max_replicas"] == 8
    assert found["fixed"]["replicas_most"] == 5
    assert found["scaled"]["usd"] < found["fixed"]["usd"]
    assert found["scaled"]["asked"] == found["fixed"]["asked"]
    assert len(found["timeline"]) == 240


def test_settings_of_the_file_are_changed_on_the_command_line(model, capsys):
    options = ("--qps", "1000", "--trace", "burst", "--json")
    called(model / "model.yaml", *options, "--set", "autoscaling.max_replicas=1")
    assert json.loads(capsys.readouterr().out)["scaled"]["replicas_most"] == 1


def test_load_of_a_file_is_followed(model, tmp_path, capsys):
    (tmp_path / "load.csv").write_text("0,600\n120,0\n600,0\n")
    called(model, "--qps", "1000", "--trace", tmp_path / "load.csv", "--json")
    found = json.loads(capsys.readouterr().out)
    assert (found["trace"]["name"], found["trace"]["seconds"]) == ("load.csv", 600)
    assert found["timeline"][-1]["paid"] == 0


def test_words_say_what_it_saves_and_rest_on_every_assumption(model, capsys):
    assert called(model, "--qps", "1000", "--trace", "steady", "--per-machine", "2") == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "of the predictions are refused or late, for" in text
    for part in ("not measured by this run", "target_utilisation: 0.6", "replicas on each: 2"):
        assert part in text


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (("--trace", "weekly"), "steady, daily, burst, or name a CSV"),
        (("--trace", "x.csv", "--peak", "5"), "a file has its own rates"),
        (("--start", "-1"), "--start -1: seconds"),
        (("--instance", "none"), "--instance none"),
        (("--set", "autoscaling.max=3"), "no such field"),
    ],
)
def test_options_that_are_wrong_are_told_with_the_remedy(model, options, problem):
    with pytest.raises(ValueError, match=problem):
        cli.main(["autoscaling", str(model), "--qps", "1000", *options])


def test_capacity_must_come_from_somewhere(model):
    with pytest.raises(ValueError, match="--qps"):
        cli.main(["autoscaling", str(model)])


@pytest.mark.parametrize("load", ["burst", "idle.csv"])
def test_page_is_self_contained_and_a_browser_has_no_complaint(model, tmp_path, load, capsys):
    page = tmp_path / "page.html"
    (tmp_path / "idle.csv").write_text("0,0\n300,1\n301,0\n302,0\n")
    trace = tmp_path / load if load.endswith("csv") else load
    called(model, "--qps", "1000", "--trace", trace, "--html", page)
    text = page.read_text()
    assert "http" not in text.replace("https://www.factualminds.com", "")
    assert text.count("<svg") == 4
    assert "1 replicas" not in text
    assert "nan" not in text
    assert Chromium(tmp_path).complaints(page, f"--screenshot={tmp_path / 'page.png'}") == []
