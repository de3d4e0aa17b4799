"""What ``penstock check`` finds."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from serve.errors import RepositoryError
from serve.gateway.check import Finding, check_repository
from tests.support.triton_repository import write

AddPython = Callable[[str, str], Path]


def test_check_tells_of_every_model_by_name(root: Path, add_python: AddPython) -> None:
    add_python("bad", "raise ValueError('no')")
    (root / "empty" / "1").mkdir(parents=True)
    findings = list(check_repository(root))
    assert [(item.model, item.version, item.state) for item in findings] == [
        ("bad", 1, "UNAVAILABLE"),
        ("empty", 0, "UNAVAILABLE"),
        ("good", 1, "READY"),
    ]
    assert "onnxruntime_onnx, batches of up to 128 rows; x FP32[-1, 4]" in findings[2].detail


def test_check_tells_what_is_known_before_it_goes_on(
    root: Path, add_stuck: Callable[[str], Path]
) -> None:
    add_stuck("waits")
    assert next(check_repository(root)).model == "good"


def test_check_finds_no_fault_in_model_that_has_still_to_be_made(root: Path) -> None:
    write(root, "later/model.yaml", "optimize: {source: train.py:fitted}")
    finding = next(item for item in check_repository(root) if item.model == "later")
    assert finding.state == "UNBUILT"
    assert finding.as_text().startswith("none later: ")


def test_check_gives_up_a_load_that_takes_too_long(
    root: Path, add_stuck: Callable[[str], Path]
) -> None:
    add_stuck("a")
    finding = next(check_repository(root, load_timeout_s=0.01))
    assert "--load-timeout" in finding.detail


def test_check_keeps_what_models_print_off_standard_output(
    add_python: AddPython, root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = "print('noise')\nclass Model:\n    def predict(self, i): return {'y': i['x']}"
    add_python("loud", code)
    assert {item.state for item in check_repository(root)} == {"READY"}
    out, err = capsys.readouterr()
    assert "noise" not in out
    assert "noise" in err


def test_check_tries_settings_that_only_requests_would_meet(root: Path) -> None:
    write(root, "good/model.yaml", "inputs: {x: {default: 9, range: [0, 1]}}")
    (finding,) = check_repository(root)
    assert "inputs.x.default" in finding.detail


def test_check_of_no_repository_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(RepositoryError, match="does not exist"):
        next(check_repository(tmp_path / "nowhere"))


def test_text_marks_failures_and_lists_warnings() -> None:
    text = Finding("m", 2, "UNAVAILABLE", "why", ("odd",)).as_text()
    assert text == "FAIL m/2: why\n     warning: odd"
    assert Finding("m", 0, "READY", "what").as_text() == "ok   m: what"


def test_text_is_one_line_whatever_a_tensor_is_called() -> None:
    text = Finding("m", 1, "READY", "a\nok   forged/1 \x1b[31m é").as_text()
    assert text == r"ok   m/1: a\nok   forged/1 \x1b[31m é"
