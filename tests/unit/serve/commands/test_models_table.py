"""The overview as text."""

from __future__ import annotations

from serve.commands.models_table import models_table
from serve.gateway.overview import Member, Overview, Replicas, Row

NODE = "3f2a91bc77aa"
LOCAL = Overview(
    server="penstock",
    ready=True,
    remote=False,
    models=(
        Row(
            name="fraud",
            version="2",
            state="READY",
            slots=1,
            requests=12345,
            p50_ms=0.7512,
            p99_ms=12.0,
        ),
        Row(name="broken", version="", state="UNAVAILABLE", reason="no model.onnx in 1/"),
    ),
)


def remote(*members: Member, most: int = 2) -> Overview:
    ready = sum(member.state == "ready" for member in members)
    row = Row(
        name="m",
        version="1",
        state="READY",
        slots=4,
        replicas=Replicas(least=2, most=most, ready=ready, members=members),
    )
    return Overview(server="s", ready=False, remote=True, models=(row,))


WELL = Member(name="aa", state="ready", slots=2, batches=1, node=NODE, pid=71)
ILL = Member(name="bb", state="failed", slots=2, node="", pid=72, problem="it hung up")


def test_versions_are_in_columns_with_reasons_below():
    assert models_table(LOCAL, replicas=False).splitlines() == [
        "penstock: ready, serves 1 of 2 versions",
        "",
        "MODEL   VERSION  STATE        REPLICAS  SLOTS  REQUESTS  P50 MS  P99 MS  WHERE",
        "fraud   2        READY        -             1     12345   0.751      12  in the server",
        "broken  -        UNAVAILABLE  -             -         0       -       -  -",
        "    no model.onnx in 1/",
    ]


def test_replicas_are_counted_by_node_and_those_with_a_problem_named():
    lines = models_table(remote(WELL, ILL), replicas=False).splitlines()
    assert lines[0] == "s: not ready, serves 1 of 1 versions"
    assert lines[3].split() == [
        "m",
        "1",
        "READY",
        "1/2",
        "4",
        "0",
        "-",
        "-",
        "3f2a91bc",
        "x1,",
        "?",
        "x1",
    ]
    # `?`: it has not said yet where it is
    assert lines[4:] == ["    bb: failed, 0 batches in 2 slots, pid 72 on node ?: it hung up"]


def test_every_replica_has_a_line_if_wanted():
    lines = models_table(remote(WELL, ILL), replicas=True).splitlines()
    assert lines[4] == "    aa: ready, 1 batches in 2 slots, pid 71 on node 3f2a91bc"
    assert len(lines) == 6


def test_number_that_follows_the_load_is_a_range():
    lines = models_table(remote(WELL, most=4), replicas=False).splitlines()
    assert lines[3].split()[3] == "1/2-4"


def test_server_without_models_says_so():
    empty = Overview(server="s", ready=True, remote=False)
    assert models_table(empty, replicas=True) == "s: ready, serves 0 of 0 versions"
