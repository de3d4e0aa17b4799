"""Connections in memory, over a plane that answers at once or when told to."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

import pytest

from tests.support.http import FakePlane, Wire


@pytest.fixture
async def plane() -> FakePlane:
    return FakePlane()


@pytest.fixture
async def held() -> FakePlane:
    """A plane whose answers the test gives."""
    return FakePlane(auto=False)


@pytest.fixture
async def wire(plane: FakePlane) -> AsyncIterator[Wire]:
    """A connection whose requests are answered at once, and which keeps nothing when it ends."""
    wire = Wire(plane)
    yield wire
    wire.hang_up()
    assert wire.context.inflight_bytes == 0
    assert not wire.context.connections


@pytest.fixture
def connect(plane: FakePlane) -> Callable[..., Wire]:
    """Further connections, or ones with settings of their own."""
    return lambda of=plane, **options: Wire(of, **options)
