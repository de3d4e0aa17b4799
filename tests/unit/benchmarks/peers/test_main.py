"""The command's choices and its exit status."""

import pytest

from benchmarks.peers.__main__ import chosen, exit_status
from benchmarks.peers.catalogue import ROWS


def test_chosen_is_everybody_unless_named():
    assert chosen(None) == list(ROWS)
    assert {row.peer for row in chosen(["litserve"])} == {"penstock", "litserve"}


@pytest.mark.parametrize(("failed", "status"), [("", 0), ("litserve", 1), ("penstock", 2)])
def test_exit_status_tells_who_failed(seen, failed, status):
    visits = [seen(peer, failure="x" * (peer == failed)) for peer in ("penstock", "litserve")]

    assert exit_status(visits) == status
