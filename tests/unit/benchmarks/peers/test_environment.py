"""Environments are made where they are missing."""

import pytest

from benchmarks.peers import environment
from benchmarks.peers.catalogue import PEERS
from benchmarks.peers.environment import SetupError, ensure, locked_version


@pytest.fixture
def peer(tmp_path, monkeypatch):
    """A peer with a lock file; its set-up script is given."""
    monkeypatch.setattr(environment, "HERE", tmp_path)
    (tmp_path / "toy").mkdir()
    (tmp_path / "toy" / "lock.txt").write_text("toy==1.2\n")

    def with_script(text):
        script = tmp_path / "toy" / "setup.sh"
        script.write_text(f"#!/bin/sh\n{text}\n")
        script.chmod(0o755)

    return with_script


def test_ensure_runs_the_script_where_nothing_is_installed(peer, tmp_path):
    peer(f"touch {tmp_path}/ran")

    assert ensure("toy", tmp_path)
    assert (tmp_path / "ran").exists()


@pytest.mark.parametrize(("installed", "again"), [("toy==1.2\n", False), ("toy==1.1\n", True)])
def test_ensure_runs_it_again_for_another_lock_file_only(peer, tmp_path, installed, again):
    peer("exit 0")
    (tmp_path / "build/peers/toy").mkdir(parents=True)
    (tmp_path / "build/peers/toy/installed.txt").write_text(installed)

    assert ensure("toy", tmp_path) is again


def test_ensure_says_what_a_failed_script_said(peer, tmp_path):
    peer("echo there is no such wheel >&2; exit 4")

    with pytest.raises(SetupError, match="ended with 4: there is no such wheel"):
        ensure("toy", tmp_path)


@pytest.mark.parametrize("name", PEERS)
def test_locked_version_finds_the_peer_in_its_lock_file(name):
    assert locked_version(name)[0].isdigit()


def test_locked_version_refuses_what_is_not_locked():
    with pytest.raises(LookupError, match="nosuch"):
        locked_version("litserve", "nosuch")
