"""What the keeper is told in a config file of Serve."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

pytest.importorskip("ray", reason="needs Ray: the extra `ray`")

from serve.executors.ray.keeper import KeeperArguments, keeper


def test_settings_left_out_are_those_of_the_command() -> None:
    arguments = KeeperArguments.model_validate({"repository": "/models"})
    assert arguments.repository == Path("/models")
    assert arguments.gateways == 0
    assert arguments.settings.http is not None
    assert arguments.settings.http.port == 8000


@pytest.mark.parametrize("name", ["http", "grpc", "admin"])
def test_port_that_the_system_would_choose_is_refused(name: str) -> None:
    given = {"repository": "/models", "settings": {name: {"port": 0}}}
    with pytest.raises(ValidationError, match=rf"settings\.{name}\.port: gateways share it"):
        KeeperArguments.model_validate(given)


def test_keeper_has_the_time_to_end_the_gateways_and_then_the_replicas() -> None:
    given = {"repository": "/models", "settings": {"drain_timeout_s": 100}}
    arguments = KeeperArguments.model_validate(given)
    deployment = keeper(arguments, lambda *_: None)._bound_deployment  # type: ignore[arg-type, return-value]
    assert deployment._deployment_config.graceful_shutdown_timeout_s > 200
