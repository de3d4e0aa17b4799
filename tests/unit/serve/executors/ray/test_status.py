"""The state of a version, from what Serve says of its application."""

from __future__ import annotations

from dataclasses import replace

from serve.executors.ray.failure import ReplicaNotStartedError, reason_in
from serve.executors.ray.status import Progress, Seen, state_of

SEEN = Seen(
    status="DEPLOYING",
    message="",
    replicas={"RUNNING": 1, "STARTING": 1},
    needed=2,
    unmet="",
    waited_s=1.0,
    load_timeout_s=60.0,
)


def test_ready_when_enough_replicas_run() -> None:
    assert state_of(replace(SEEN, replicas={"RUNNING": 2})) == Progress("READY")
    assert state_of(SEEN) == Progress("LOADING", "1 of 2 replicas are ready")


def test_version_that_may_have_no_replica_starts_with_one_and_rests_later() -> None:
    seen = replace(SEEN, needed=0, replicas={"STARTING": 1})
    assert state_of(seen) == Progress("LOADING", "0 of 1 replicas are ready")
    assert state_of(replace(seen, replicas={"RUNNING": 1})) == Progress("READY")
    assert state_of(replace(seen, replicas={}, status="RUNNING")) == Progress("READY")
    assert state_of(replace(seen, replicas={})).state == "LOADING"


def test_ready_whatever_a_replica_said_before() -> None:
    seen = replace(SEEN, replicas={"RUNNING": 2}, message="A replica failed", unmet="4 GPU")
    assert state_of(seen) == Progress("READY")


def test_reason_that_a_replica_gave_is_found_in_a_traceback() -> None:
    reason = 'model.onnx: "cut off"\nwhile written'
    error = ReplicaNotStartedError(reason)
    message = (
        f"A replica failed to start. Error:\nray::Replica()\n  File x\nRuntimeError: {error}\n"
    )
    assert reason_in(message) == reason
    assert state_of(replace(SEEN, message=message)) == Progress("UNAVAILABLE", reason, final=True)


def test_replicas_that_do_not_start_are_given_up_by_serve() -> None:
    seen = replace(SEEN, status="DEPLOY_FAILED", message="failed 3 times\n\nthe worker died\n")
    progress = state_of(seen)
    assert progress.final
    assert progress.reason == "its replicas do not start: the worker died"


def test_unmet_resources_and_long_waits_may_still_change() -> None:
    unmet = state_of(replace(SEEN, unmet="no node has 4 GPU"))
    assert unmet == Progress("UNAVAILABLE", "no node has 4 GPU")
    late = state_of(replace(SEEN, waited_s=61))
    assert (late.state, late.final) == ("UNAVAILABLE", False)
    assert "--load-timeout" in late.reason
