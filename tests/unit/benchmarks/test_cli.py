"""``penstock bench`` on the command line, without measuring anything."""

import json
import subprocess
import sys

import pytest

from benchmarks import cli
from benchmarks.gates.files import load


def penstock(*arguments):
    return subprocess.run(
        [sys.executable, "-c", "from serve.cli import main; main()", *arguments],
        capture_output=True,
        text=True,
    )


def called(*arguments):
    with pytest.raises(SystemExit) as ended:
        cli.main(["--json" if one is None else one for one in arguments])
    return ended.value.code


def test_help_has_an_example_and_the_exit_codes(capsys):
    assert called("--help") == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "Example: penstock bench smoke" in text
    assert "3 invalid" in text


def test_list_shows_gate_files_and_scenarios(capsys):
    assert called("--list", None) == 0
    found = json.loads(capsys.readouterr().out)
    assert {"smoke", "release"} <= found["gates"].keys()
    assert "server_fixed" in found["scenarios"]


def test_schema_describes_every_field(capsys):
    assert called("--schema") == 0
    schema = json.loads(capsys.readouterr().out)
    assert schema["$defs"]["Gate"]["properties"]["metric"]["description"]


def test_init_writes_a_file_that_loads_and_overwrites_none(tmp_path):
    path = tmp_path / "mine.yaml"
    assert called("--init", str(path)) == 0
    assert load(str(path)).spec.name == "my_model"
    with pytest.raises(FileExistsError, match="name another file"):
        cli.main(["--init", str(path)])


def test_cost_is_printed_as_json(capsys):
    assert called("cost", "--qps", "1000", None) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["costs"][0]["machines"] == 18
    assert document["assumptions"]["budget_usd_per_month"] == 5000


def test_dry_run_shows_what_each_scenario_does_and_how_long_it_takes(capsys):
    assert called("smoke", "--only", "headline_http", "--dry-run", None) == 0
    planned = json.loads(capsys.readouterr().out)
    (scenario,) = planned["scenarios"]
    assert scenario["params"]["rate"] == 1000
    assert scenario["params"]["duration_s"] < scenario["lasts_s"] < planned["lasts_s"]
    assert called("smoke", "--dry-run") == 0
    assert "cpu_vs_baseline" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["bench", "nosuch.yaml"], "shipped: "),
        (["bench"], "name a gate file"),
        (["bench", "smoke", "--only", "nosuch"], "there are headline_http"),
        (["bench", "cost", "result.json", "--qps", "9"], "not both"),
        (["bench", "cost", "--scenario", "soak"], "name that too"),
    ],
)
def test_mistakes_are_told_in_a_line_and_exit_2(arguments, words):
    done = penstock(*arguments)
    assert done.returncode == 2
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_missing_extra_is_named_with_its_remedy():
    code = (
        "import sys; sys.modules['hdrh'] = None; sys.argv = ['penstock', 'bench', 'smoke'];"
        "from serve.cli import main; main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 2
    assert "pip install 'penstock[bench]'" in done.stderr


def test_command_line_loads_no_benchmark_before_it_is_asked_to():
    code = "import sys, serve.cli; print([m for m in sys.modules if m.startswith('benchmarks')])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
