"""A toy server to measure."""

import sys
from pathlib import Path

import pytest

from benchmarks.context import Context
from benchmarks.subject import Launch, serve

ROOT = Path(__file__).parents[3]


@pytest.fixture
def toy(tmp_path):
    """How to start a toy server; flags are added to it."""

    def launch(*flags):
        ports = ("--http-port", "{http_port}", "--admin-port", "{admin_port}")
        command = (sys.executable, "-m", "tests.support.toy_server", *ports)
        return Launch(tmp_path, command=command, flags=flags, cwd=ROOT)

    return launch


@pytest.fixture
def toy_server(toy, tmp_path):
    """A toy server that runs."""
    with serve(toy(), tmp_path / "toy.log") as server:
        yield server


@pytest.fixture
def toy_context(toy, tmp_path):
    """A run that measures the toy server."""
    return Context(tmp_path, toy())
