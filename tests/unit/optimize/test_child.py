from __future__ import annotations

import json
import pickle
import subprocess
from pathlib import Path

import pytest

from optimize.cache import Cache
from optimize.child import run_step
from optimize.errors import OptimizeError
from optimize.settings import StepLimits

ROOM = StepLimits(minutes=1)


def load(folder: Path, code: str, key: str = "k", limits: StepLimits = ROOM) -> Path:
    """The `source` step on a model.py of ours."""
    (folder / "make.py").write_text(code)
    task = {
        "task": "source",
        "folder": str(folder),
        "source": "make.py:model",
        "evaluation": "make.py:data",
        "target": "y",
        "outputs": [],
        "variable": {},
    }
    return run_step(Cache(folder / "cache"), key, "source", task, limits)


GOOD = "def model(): return b'graph'\ndef data(): return [1.0], [1]\n"


def test_run_step_keeps_what_it_made_and_does_it_once(tmp_path: Path) -> None:
    path = load(tmp_path, GOOD)
    assert load(tmp_path, "raise SystemExit('must not be run again')") == path
    assert (path / "source.pkl").exists()


def test_run_step_keeps_a_command_that_repeats_it(tmp_path: Path) -> None:
    path = load(tmp_path, GOOD)
    subprocess.run(["sh", path / "reproduce.sh"], cwd=tmp_path, check=True)
    assert json.loads((path / "task.json").read_text())["task"] == "source"


def test_run_step_names_the_step_and_what_went_wrong(tmp_path: Path) -> None:
    with pytest.raises(OptimizeError, match="step source: ValueError: no such table"):
        load(tmp_path, "def model(): raise ValueError('no such table')\ndef data(): pass\n")
    assert not (tmp_path / "cache" / "k").exists()


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("def model(): return bytearray(2**30)\ndef data(): pass\n", "out of memory"),
        ("import os\ndef model(): os.kill(os.getpid(), 9)\n", "out of memory"),
        ("def model(): raise OSError(28, 'No space left on device')\n", "is full"),
        ("import os\ndef model(): os._exit(7)\n", "its process ended with 7"),
    ],
)
def test_run_step_says_what_to_do_about_a_limit(tmp_path: Path, code: str, message: str) -> None:
    with pytest.raises(OptimizeError, match=message):
        load(tmp_path, code, limits=StepLimits(minutes=1, memory_mb=512))


def test_run_step_ends_one_that_takes_too_long(tmp_path: Path) -> None:
    code = "import threading\ndef model(): threading.Event().wait()\n"
    with pytest.raises(OptimizeError, match=r"not done after 0.02 minutes"):
        load(tmp_path, code, limits=StepLimits(minutes=0.02))


def test_run_step_leaves_no_temporary_files(tmp_path: Path) -> None:
    code = (
        "import tempfile\n"
        "def model():\n    kept = tempfile.mkdtemp()\n    return kept.encode()\n"
        "def data(): return [1.0], [1]\n"
    )
    path = load(tmp_path, code)
    made, _, _ = pickle.loads((path / "source.pkl").read_bytes())
    assert Path(made.decode()).is_relative_to(tmp_path / "cache")
    assert not Path(made.decode()).exists()
    assert sorted(file.name for file in path.iterdir()) == [
        "log.txt",
        "reproduce.sh",
        "source.pkl",
        "task.json",
    ]
