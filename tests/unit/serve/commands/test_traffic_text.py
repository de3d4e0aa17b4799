"""What people read of a model's traffic."""

from __future__ import annotations

import msgspec
import pytest

from serve.commands.traffic_text import audit_text, duration, rollout_line, traffic_text
from serve.traffic.report import ArmReport, ModelTraffic, OutcomeReport, ShadowReport
from serve.traffic.state import Rollout, RolloutStatus
from serve.traffic.verdict import GuardName, Verdict
from tests.support.operations import LINE

STABLE = ArmReport(
    name="stable", version=3, weight=0.95, state="READY", requests=1000, errors=1, refusals=2,
    p50_ms=1.25, p99_ms=12.5, scores=(0.1, 0.5, 0.9),
    outcomes=OutcomeReport(number=50, mean=0.125, standard_error=0.01),
)  # fmt: skip
CANARY = ArmReport(
    name="canary", version=4, weight=0.05, state="UNAVAILABLE", reason="no file", requests=0,
    errors=0, refusals=0, p50_ms=None, p99_ms=None,
    shadow=ShadowReport(
        compared=200, failed=1, dropped=3, agreement=0.99, mean_distance=0.1, max_distance=2.5,
        latency_ratio=1.5,
    ),
)  # fmt: skip
ROLLOUT = Rollout(
    version=4, stable=3, steps=(5, 100), hold_s=300, status=RolloutStatus.HOLDING, step=0
)
REPORT = ModelTraffic(
    model="fraud",
    revision=7,
    labels={"stable": 3, "canary": 4},
    default=3,
    arms=(STABLE, CANARY),
    sticky={"header": "x-user"},
    from_model_yaml=False,
    rollout=ROLLOUT,
    verdicts=(Verdict(guard=GuardName.ERRORS, state="holds", text="errors: 0.1 % of 1000"),),
)


def test_report_tells_rules_versions_and_rollout():
    lines = traffic_text(REPORT).splitlines()
    assert lines[0] == "fraud: version 3 answers by default; labels: canary=4, stable=3"
    assert "penstock models reset" in lines[1]
    assert lines[2] == "each caller meets the same version, by the header 'x-user'"
    assert lines[5].split() == [
        *("3", "stable", "95", "%", "READY", "1000", "1", "2", "1.25", "12.5"),
        *("0.1", "0.5", "0.9", "-", "0.125", "+-0.01", "of", "50"),
    ]
    assert "version 4: no file" in lines
    assert (
        "version 4 was given copies: 200 compared, 99 % agree (largest difference 2.5), 1.5 times"
        " the execution time; 1 failed, 3 dropped"
    ) in lines
    assert lines[-2].startswith("rollout of version 4: it has 5 % of the traffic (step 1 of 2")
    assert lines[-1].split() == ["errors", "holds", "0.1", "%", "of", "1000"]


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"from_model_yaml": True}, "the rules are those of model.yaml"),
        ({"overruled": True}, "model.yaml has changed since"),
        ({"default": 0}, "no version answers by default"),
        ({"labels": {}}, "labels: none"),
    ],
)
def test_report_tells_where_rules_come_from(fields, said):
    assert said in traffic_text(msgspec.structs.replace(REPORT, **fields))


@pytest.mark.parametrize("status", RolloutStatus)
def test_every_state_of_a_rollout_is_a_sentence(status):
    rollout = msgspec.structs.replace(ROLLOUT, status=status, reason="why it ended", ended_s=9.0)
    line = rollout_line(rollout)
    assert line.startswith("rollout of version 4: ")
    ended = status in (RolloutStatus.ROLLED_BACK, RolloutStatus.SUPERSEDED)
    assert ("why it ended" in line) is ended


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.5, "0.5 s"), (90, "1.5 min"), (7200, "2 h"), (86_400, "1 d")]
)
def test_duration_is_short(seconds, text):
    assert duration(seconds) == text


def test_audit_is_a_line_for_each_change():
    assert audit_text([]) == "nothing has been changed"
    head, line, other = audit_text(
        [msgspec.structs.replace(LINE, why="it lies"), LINE]
    ).splitlines()
    assert head.split() == ["NUMBER", "WHEN", "WHO", "MODEL", "WHAT", "(WHY)"]
    assert line.endswith("alice@127.0.0.1  fraud  rollback (it lies)")
    assert other.endswith("alice@127.0.0.1  fraud  rollback")
