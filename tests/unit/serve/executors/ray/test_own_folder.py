"""The folder of a cluster goes with its command, or with the next one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from serve.executors.ray.own_folder import LOCK, PREFIX, own_folder

HOLD = """
import sys
from pathlib import Path
from serve.executors.ray.own_folder import own_folder
with own_folder(Path(sys.argv[1])) as folder:
    print(folder, flush=True)
    sys.stdin.read()
"""


def test_folder_is_the_users_alone_and_goes_with_what_is_in_it(tmp_path: Path) -> None:
    with own_folder(tmp_path) as folder:
        assert folder.stat().st_mode & 0o777 == 0o700
        (folder / "ray/session").mkdir(parents=True)
        (folder / "ray/session/log").write_text("a line")
    assert list(tmp_path.iterdir()) == []


def test_folder_goes_when_the_block_fails(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), own_folder(tmp_path):
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []


def test_folder_of_a_killed_command_goes_with_the_next_and_one_in_use_stays(tmp_path: Path) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        assert holder.stdout is not None
        held = Path(holder.stdout.readline().decode().strip())
        with own_folder(tmp_path):
            assert held.exists()
        holder.kill()
        holder.wait()
        assert held.exists()
        with own_folder(tmp_path):
            assert not held.exists()
    finally:
        holder.kill()
        holder.communicate()


def test_what_is_not_ours_to_remove_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / LOCK).touch()
    link = tmp_path / f"{PREFIX}link"
    link.symlink_to(elsewhere)
    (tmp_path / f"{PREFIX}new").mkdir()  # not locked yet
    with own_folder(tmp_path):
        pass
    assert (elsewhere / LOCK).exists()
    assert (tmp_path / f"{PREFIX}new").exists()
    others = tmp_path / f"{PREFIX}others"
    others.mkdir()
    (others / LOCK).touch()
    monkeypatch.setattr(os, "geteuid", lambda: others.stat().st_uid + 1)
    with own_folder(tmp_path):
        pass
    assert others.exists()
