"""What is known of a model, put together."""

from __future__ import annotations

from serve.config import ModelConfig
from serve.gateway.details import VersionDetails, make_details

CONFIG = ModelConfig(owner="risk", description="Is it fraud?")
INDEX = [
    {"name": "m", "version": "1", "state": "READY", "reason": ""},
    {"name": "m", "version": "2", "state": "UNAVAILABLE", "reason": "no"},
    {"name": "other", "version": "3", "state": "READY", "reason": ""},
]


def test_details_are_of_one_model() -> None:
    labels = {"stable": 1, "best": 1, "canary": 2}
    details = make_details("m", INDEX, labels, {"1": ("python", CONFIG)}, "1", {})
    assert (details.owner, details.description) == ("risk", "Is it fraud?")
    assert details.versions == (
        VersionDetails(
            version="1", state="READY", labels=("best", "stable"), answers=True, platform="python"
        ),
        VersionDetails(version="2", state="UNAVAILABLE", reason="no", labels=("canary",)),
    )


def test_model_of_which_nothing_answers_has_no_settings() -> None:
    details = make_details("m", INDEX[1:], {}, {}, "", {})
    assert details.owner == ""
    assert [version.answers for version in details.versions] == [False]
