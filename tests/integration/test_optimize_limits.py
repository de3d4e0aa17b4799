"""What ends an optimisation early: each case says so, adds nothing half-written, keeps steps."""

from __future__ import annotations

import io
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from optimize.errors import OptimizeError
from optimize.progress import Progress
from optimize.run import Outcome, optimise
from tests.support import onnx_models

RNG = np.random.default_rng(7)
COMMAND = (sys.executable, "-c", "import sys; from serve.cli import main; main()", "optimize")
MB = 2**20


def model(folder: Path, **settings: Any) -> Path:
    """A network that is quick to optimise, with ``settings`` on top."""
    folder.mkdir(exist_ok=True)
    onnx_models.mlp(folder / "network.onnx", features=8)
    rows = RNG.normal(0, 1, (200, 8)).astype(np.float32)
    np.savez(folder / "test.npz", x=rows, y=RNG.integers(0, 2, 200))
    plain = {
        "source": "network.onnx",
        "data": {"evaluation": "test.npz", "target": "y"},
        "metric": "accuracy",
        "steps": ["clean"],
        "target": {"batch_sizes": [1], "threads": [1]},
    }
    (folder / "model.yaml").write_text(yaml.safe_dump({"optimize": plain | settings}))
    return folder


def run(folder: Path) -> Outcome:
    return optimise(folder, Progress(io.StringIO()))


def versions(folder: Path) -> list[str]:
    """Versions, and the hidden folders that versions are written in."""
    return sorted(
        path.name for path in folder.iterdir() if path.is_dir() and path.name != ".optimize"
    )


def kept_steps(folder: Path) -> set[str]:
    return {path.name for path in (folder / ".optimize" / "cache").glob("[!.]*")}


def test_candidates_after_max_minutes_are_left_out_by_name(tmp_path: Path) -> None:
    folder = model(tmp_path / "m", search={"max_minutes": 1e-6})
    outcome = run(folder)
    assert outcome.exit_code == 3
    assert [each["reason"] for each in outcome.report["candidates"]] == ["max_minutes is 1e-06"]
    assert versions(folder) == []
    assert kept_steps(folder)


def test_candidates_beyond_max_trials_are_left_out_by_name(tmp_path: Path) -> None:
    steps = [{"choose": ["none", "clean"]}]
    folder = model(tmp_path / "m", steps=steps, search={"max_trials": 1})
    assert [each["reason"] for each in run(folder).report["candidates"]][1:] == ["max_trials is 1"]


METRICS = {
    "nan": ("return float('nan')", "metric metric.py:score of the original is nan"),
    "raises": ("raise KeyError('y')", "metric metric.py:score raised KeyError"),
}


@pytest.mark.parametrize("kind", METRICS)
def test_metric_that_says_nothing_stops_the_run_and_keeps_its_steps(
    tmp_path: Path, kind: str
) -> None:
    folder = model(tmp_path / "m", metric="metric.py:score")
    body, message = METRICS[kind]
    (folder / "metric.py").write_text(f"def score(target, prediction):\n    {body}\n")
    with pytest.raises(OptimizeError, match=message) as caught:
        run(folder)
    assert caught.value.remedy
    assert versions(folder) == []
    assert len(kept_steps(folder)) >= 3


def test_exporter_that_fails_is_named_and_nothing_is_made(tmp_path: Path) -> None:
    folder = model(tmp_path / "m", source="train.py:fitted")
    (folder / "train.py").write_text(
        "import numpy\n"
        "from sklearn.base import BaseEstimator, ClassifierMixin\n"
        "class Odd(ClassifierMixin, BaseEstimator):\n"
        "    classes_ = numpy.array([0, 1])\n"
        "    n_features_in_ = 8\n"
        "    def fit(self, X, y): return self\n"
        "    def predict_proba(self, X): return numpy.full((len(X), 2), 0.5)\n"
        "    def predict(self, X): return numpy.zeros(len(X), int)\n"
        "def fitted(): return Odd()\n"
    )
    with pytest.raises(OptimizeError, match=r"step export: .*Odd") as caught:
        run(folder)
    assert caught.value.remedy
    assert versions(folder) == []


def test_step_that_fails_leaves_its_candidate_out_and_the_others_in(tmp_path: Path) -> None:
    steps = [{"choose": ["none", {"cast": {"precision": "bf16", "compute": True}}]}]
    outcome = run(model(tmp_path / "m", steps=steps))
    assert outcome.exit_code in (0, 4)
    found = {each["name"]: each for each in outcome.report["candidates"]}
    failed = found["export → cast(precision=bf16, compute=True), 1 thread"]
    assert failed["verdict"] == "skipped"
    assert "cannot compute this graph in bf16" in failed["reason"]


def test_step_out_of_memory_names_the_limit_and_keeps_what_was_done(tmp_path: Path) -> None:
    folder = model(tmp_path / "m", metric="metric.py:score", limits={"memory_mb": 700})
    (folder / "metric.py").write_text(
        "def score(target, prediction):\n    return float(bytearray(2**30)[0])\n"
    )
    message = r"step verify export → clean: out of memory \(the limit is 700 MB\)"
    with pytest.raises(OptimizeError, match=message) as caught:
        run(folder)
    assert "optimize.limits.memory_mb" in caught.value.remedy
    assert versions(folder) == []
    assert len(kept_steps(folder)) >= 3


def test_a_second_run_at_once_is_refused_and_the_first_is_not_disturbed(tmp_path: Path) -> None:
    folder = model(tmp_path / "m")
    with subprocess.Popen([*COMMAND, str(folder)], stderr=subprocess.PIPE, text=True) as first:
        assert first.stderr is not None
        first.stderr.readline()
        second = subprocess.run([*COMMAND, str(folder)], capture_output=True, text=True)
        assert first.stderr.read() or first.wait() in (0, 4)
    assert second.returncode == 2
    assert f"is being optimised already, by process {first.pid}" in second.stderr
    assert first.returncode in (0, 4)
    assert versions(folder) == (["1"] if first.returncode == 0 else [])


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own that holds 24 MB."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(place)]
    try:
        done = subprocess.run(mount, capture_output=True, text=True)
    except OSError as error:
        pytest.skip(f"there is no mount: {error}")
    if done.returncode != 0:
        pytest.skip(f"a file system cannot be mounted here: {done.stderr.strip()}")
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


def fill(place: Path, leave_bytes: int) -> Path:
    """Take all of a disk but ``leave_bytes``."""
    ballast = place / "ballast"
    ballast.write_bytes(bytes(shutil.disk_usage(place).free - leave_bytes))
    return ballast


def test_full_disk_in_a_step_is_said_and_the_run_goes_on_when_there_is_room(
    small_disk: Path,
) -> None:
    folder = model(small_disk / "m")
    ballast = fill(small_disk, leave_bytes=64 * 1024)
    with pytest.raises(OptimizeError, match=r"the disk that holds .* is full") as caught:
        run(folder)
    assert "make room" in caught.value.remedy
    assert versions(folder) == []
    ballast.unlink()
    assert run(folder).exit_code in (0, 4)


def test_full_disk_at_packaging_leaves_no_version_and_keeps_all_steps(small_disk: Path) -> None:
    folder = model(small_disk / "m", steps=[])
    onnx_models.mlp(folder / "network.onnx", features=8, hidden=1024)  # 4 MB
    outcome = run(folder)
    if outcome.version is None:
        pytest.skip("this machine is too busy to measure on")
    shutil.rmtree(outcome.version)
    done = kept_steps(folder)
    ballast = fill(small_disk, leave_bytes=MB)
    with pytest.raises(OptimizeError, match=r"step package: .*No space left") as caught:
        run(folder)
    assert "make room" in caught.value.remedy
    assert versions(folder) == []
    assert kept_steps(folder) == done
    ballast.unlink()
    assert run(folder).exit_code == 0
    assert versions(folder) == ["1"]
