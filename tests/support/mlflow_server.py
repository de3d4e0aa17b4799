"""A real MLflow server for tests, with SQLite behind it, on a free port."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from tests.support.running import PATIENCE_S

__all__ = ["MlflowServer", "need_mlflow"]


def need_mlflow() -> None:
    """Skip the test where there is no server: mlflow-skinny has none."""
    for name in ("mlflow", "sqlalchemy", "flask"):
        if importlib.util.find_spec(name) is None:
            pytest.skip(f"{name} is not installed: pip install 'penstock[dev]'")


class MlflowServer:
    """One worker, and none of the processes for its jobs, which take a gigabyte."""

    def __init__(self, folder: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._process = subprocess.Popen(
            [
                *(sys.executable, "-m", "mlflow", "server"),
                *("--backend-store-uri", f"sqlite:///{folder / 'mlflow.db'}"),
                *("--artifacts-destination", str(folder / "artifacts")),
                *("--host", "127.0.0.1", "--port", str(self.port), "--workers", "1"),
            ],
            env={**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
            cwd=folder,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        give_up_s = time.monotonic() + 2 * PATIENCE_S
        while not self._answers():
            assert time.monotonic() < give_up_s, "MLflow does not answer"
            assert self._process.poll() is None, "MLflow did not start"
            time.sleep(0.1)

    def stop(self) -> None:
        """End it and its worker, which are a group of their own."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait(PATIENCE_S)

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/health", timeout=PATIENCE_S) as reply:
                return bool(reply.status == 200)
        except OSError:
            return False
