"""Every peer has what it takes to be set up and run, and nothing of this machine is in it."""

import os
import re
from pathlib import Path

import pytest

from benchmarks.peers import catalogue
from benchmarks.peers.catalogue import PEERS, PENSTOCK, ROWS

HERE = Path(catalogue.__file__).parent


def test_rows_have_a_default_for_each_peer_and_no_name_twice():
    assert {row.peer for row in ROWS if row.row == "default"} == {PENSTOCK, *PEERS}
    assert len({row.name for row in ROWS}) == len(ROWS)


@pytest.mark.parametrize("peer", PEERS)
@pytest.mark.parametrize("script", ["setup.sh", "run.sh"])
def test_peer_has_its_scripts(peer, script):
    assert os.access(HERE / peer / script, os.X_OK)


@pytest.mark.parametrize("peer", PEERS)
def test_lock_file_holds_pinned_versions_only(peer):
    lines = (HERE / peer / "lock.txt").read_text().splitlines()

    assert [line for line in lines if not re.fullmatch(r"[\w.-]+==[\w.]+", line)] == []


def test_every_lock_file_has_the_same_runtime():
    locks = [(HERE / peer / "lock.txt").read_text() for peer in PEERS]

    assert len({re.search(r"^onnxruntime==.*$", lock, re.MULTILINE)[0] for lock in locks}) == 1
