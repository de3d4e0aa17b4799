from __future__ import annotations

import asyncio
import os
import socket
import stat
from pathlib import Path

import pytest

from serve.executors.remote import local_socket
from serve.executors.remote.wire import FrameError, preamble


def test_socket_and_folder_are_the_owners_alone(tmp_path: Path) -> None:
    path = tmp_path / "sockets" / "a.sock"
    with local_socket.listen(path):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
        assert os.listdir(path.parent) == ["a.sock"]


def test_folder_that_others_may_use_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "open"
    folder.mkdir()
    folder.chmod(0o755)
    with pytest.raises(OSError, match="mode 0700"):
        local_socket.listen(folder / "a.sock")


def test_path_that_is_too_long_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="longer than the 100 bytes"):
        local_socket.listen(tmp_path / ("x" * 100))


def test_socket_of_a_live_process_is_not_taken(tmp_path: Path) -> None:
    path = tmp_path / "s" / "a.sock"
    with local_socket.listen(path), pytest.raises(OSError, match="another process listens"):
        local_socket.listen(path)


def test_sockets_that_nobody_answers_are_removed(tmp_path: Path) -> None:
    path = tmp_path / "s" / "a.sock"
    dead = path.with_name("dead.sock")
    local_socket.listen(dead).close()
    other = path.with_name("notes.txt")
    other.write_text("kept")
    with local_socket.listen(path):
        assert sorted(os.listdir(path.parent)) == ["a.sock", "notes.txt"]
        assert local_socket.remove_stale(path.parent) == []


async def exchanged(
    ours: socket.socket, theirs: socket.socket, sent: bytes, fds: list[int]
) -> int | None:
    for end in (ours, theirs):
        end.setblocking(False)
    socket.send_fds(theirs, [sent], fds)
    async with asyncio.timeout(20):
        return await local_socket.exchange(ours, None)


async def test_descriptor_comes_with_the_preamble() -> None:
    memory = os.memfd_create("given")
    os.write(memory, b"seen")
    ours, theirs = socket.socketpair()
    with ours, theirs:
        got = await exchanged(ours, theirs, preamble(), [memory])
        assert got is not None
        assert os.pread(got, 4, 0) == b"seen"
        assert not os.get_inheritable(got)
        assert theirs.recv(100) == preamble()
    os.close(got)
    os.close(memory)


async def test_preamble_may_come_in_pieces_and_without_a_descriptor() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.send(preamble()[:5])
        assert await exchanged(ours, theirs, preamble()[5:], []) is None


async def test_peer_that_speaks_something_else_is_refused_and_its_descriptor_closed() -> None:
    ours, theirs = socket.socketpair()
    before = len(os.listdir("/proc/self/fd"))
    memory = os.memfd_create("given")
    with ours, theirs, pytest.raises(FrameError, match="does not speak"):
        await exchanged(ours, theirs, b"HELLO, WHO'S THERE?", [memory])
    os.close(memory)
    assert len(os.listdir("/proc/self/fd")) == before - 2


async def test_peer_that_hangs_up_is_refused() -> None:
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    theirs.close()
    with ours, pytest.raises((FrameError, OSError)):
        await local_socket.exchange(ours, None)
