"""Loads run aside, and what becomes of them is told once."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from serve.backends.base import BackendSource
from serve.clock import monotonic_ns
from serve.errors import RepositoryError
from serve.gateway.control import source_of
from serve.gateway.loading import not_loaded_in_time, start_load
from serve.repository.scan import scan_model

PATIENCE_S = 60
WAITS = """
class Model:
    def load(self, context):
        self.folder = context.folder
        (self.folder / "gate").read_text()

    def predict(self, inputs):
        return {"y": inputs["x"]}

    def close(self):
        (self.folder / "closed").touch()
"""


def source(folder: Path) -> BackendSource:
    entry = scan_model(folder)
    return source_of(entry, entry.versions[0])


def test_load_gives_a_warm_backend(root: Path) -> None:
    prepared = start_load(source(root / "good"), monotonic_ns).result(PATIENCE_S)
    assert prepared.profile
    prepared.backend.close()


@pytest.mark.parametrize("error", ["ValueError('no')", "KeyboardInterrupt", "SystemExit(3)"])
def test_whatever_a_model_raises_is_the_error_of_its_load(
    add_python: Callable[[str, str], Path], error: str
) -> None:
    load = start_load(source(add_python("bad", f"raise {error}")), monotonic_ns)
    with pytest.raises(RepositoryError, match=r"bad/1/model\.py:1"):
        load.result(PATIENCE_S)


def test_load_that_was_given_up_is_closed_when_it_ends(
    add_python: Callable[[str, str], Path],
) -> None:
    folder = add_python("late", WAITS)
    os.mkfifo(folder / "1" / "gate")
    load = start_load(source(folder), monotonic_ns)
    (thread,) = [item for item in threading.enumerate() if item.name == "penstock-load-late-1"]
    load.cancel()
    (folder / "1" / "gate").write_text("go")
    thread.join(PATIENCE_S)
    assert (folder / "1" / "closed").exists()


def test_error_of_a_late_load_names_the_flag(root: Path) -> None:
    assert "--load-timeout" in str(not_loaded_in_time(source(root / "good"), 5))
