"""A Penstock server with the small model, and what LoadGen is to do with it."""

import pytest

from benchmarks.context import penstock_command
from benchmarks.loadgen.spec import ClosedLoop, LoadSpec
from benchmarks.models import SMALL
from benchmarks.payloads import json_rows
from benchmarks.subject import Launch, serve


@pytest.fixture(scope="session")
def penstock(tmp_path_factory):
    """A real server."""
    folder = tmp_path_factory.mktemp("mlperf")
    SMALL.write(folder / "repository")
    launch = Launch(folder / "repository", penstock=penstock_command())
    with serve(launch, folder / "log") as server:
        yield server


@pytest.fixture
def spec(penstock):
    """Where LoadGen's samples go; another path makes the server refuse them."""

    def make(model="small"):
        return LoadSpec(
            target=penstock.target("http"),
            payloads=(json_rows(model, 1, 30), json_rows(model, 2, 30)),
            load=ClosedLoop(duration_s=1.0),
            connections=4,
        )

    return make
