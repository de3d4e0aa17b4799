"""A repository of Triton's example models and an MLP, served in a thread."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.running import RunningApp, running
from tests.support.triton_repository import triton_repository


@pytest.fixture(scope="session")
def triton_models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return triton_repository(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="session")
def triton_server(triton_models: Path) -> Iterator[RunningApp]:
    with running(triton_models) as server:
        yield server
