"""The command's choices and its exit status."""

import pytest

from benchmarks.peers.__main__ import arguments, chosen, exit_status, plan_of
from benchmarks.peers.catalogue import ROWS


def test_chosen_is_everybody_unless_named():
    assert chosen(None) == list(ROWS)
    assert {row.peer for row in chosen(["litserve"])} == {"penstock", "litserve"}


@pytest.mark.parametrize(("failed", "status"), [("", 0), ("litserve", 1), ("penstock", 2)])
def test_exit_status_tells_who_failed(seen, failed, status):
    visits = [seen(peer, failure="x" * (peer == failed)) for peer in ("penstock", "litserve")]

    assert exit_status(visits) == status


def test_short_loads_still_have_what_a_p99_takes():
    plan = plan_of(arguments(["--rounds", "2", "--seconds", "1.5"]))

    assert (plan.closed_s, plan.open_at_s(1000)) == (1.5, 1.5)
    assert 459 < 100 * plan.open_at_s(100) < 600
