"""How many gateways there are, where, and when they are deployed again."""

from __future__ import annotations

import pytest

pytest.importorskip("ray", reason="needs Ray: the extra `ray`")

from serve.config import ServerSettings
from serve.executors.ray.gateway_replica import GatewaySpec
from serve.executors.ray.gateway_tier import GatewayTier, Places, places, version_of
from serve.executors.ray.plan import Plan, Served

PLAIN = {"CPU": 4.0}
FOR_GATEWAYS = {"CPU": 4.0, "penstock_gateway": 1.0}
PLAN = Plan((Served("m", 1, "LOADING"),))


@pytest.mark.parametrize(
    ("wanted", "own", "nodes", "expected"),
    [
        (0, True, [PLAIN], Places(1, False, False)),
        (3, True, [PLAIN], Places(3, False, False)),
        (0, False, [PLAIN, PLAIN], Places(2, True, False)),
        (3, False, [PLAIN, PLAIN], Places(3, False, False)),
        (0, False, [PLAIN, FOR_GATEWAYS, PLAIN], Places(1, True, True)),
        (4, False, [FOR_GATEWAYS, FOR_GATEWAYS, PLAIN], Places(4, False, True)),
        (0, False, [], Places(1, True, False)),  # Ray lost sight of them for a moment
    ],
)
def test_gateways_go_to_every_node_for_them_unless_the_user_says_how_many(
    wanted: int, own: bool, nodes: list[dict[str, float]], expected: Places
) -> None:
    assert places(wanted, own, nodes) == expected


def spec(secret: bytes = b"s" * 32, **settings: object) -> GatewaySpec:
    return GatewaySpec(_no_server, ServerSettings.model_validate(settings), secret)


def _no_server(*_: object) -> None:
    """Never called: nothing is deployed here."""


def test_gateways_are_told_a_plan_once() -> None:
    tier = GatewayTier("penstock", spec())
    one = Places(1, True, False)
    assert tier.name == "penstock:gateways"
    assert tier.target(PLAN, one) is not None
    assert tier.target(PLAN, one) is not None  # Serve did not answer
    tier.told(PLAN, one)
    assert tier.target(PLAN, one) is None
    assert tier.target(Plan(PLAN.versions, complete=True), one) is not None
    assert tier.target(PLAN, Places(2, True, False)) is not None


def test_gateways_are_kept_if_only_the_plan_changes() -> None:
    assert version_of(spec()) == version_of(spec())
    assert version_of(spec()) != version_of(spec(b"t" * 32))
    assert version_of(spec()) != version_of(spec(log_level="debug"))
