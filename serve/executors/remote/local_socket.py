"""Unix sockets that only their owner may use, and what is passed over them before any frame."""

from __future__ import annotations

import asyncio
import os
import socket
import stat
import struct
from pathlib import Path

from serve.executors.remote.wire import PREAMBLE_BYTES, FrameError, check_preamble, preamble

__all__ = ["connect", "exchange", "listen", "remove_stale"]

BACKLOG = 64
LONGEST_PATH = 100
"""The system allows 107 bytes; a few are left for the name under which a socket is made."""
_CREDENTIALS = struct.Struct("3i")


def listen(path: Path) -> socket.socket:
    """A listening socket at ``path``, of mode 0600 in a folder of mode 0700.

    The folder is made if it is missing, and cleared of sockets whose process is gone. A socket is
    given its name once it listens, so that a name which nobody answers is a dead one.

    Raises:
        OSError: the path is too long, taken, or in a folder that others may write to or enter.
    """
    if len(os.fsencode(path)) > LONGEST_PATH:
        raise OSError(f"{path}: longer than the {LONGEST_PATH} bytes that a socket's path may have")
    folder = path.parent
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = folder.stat()
    if found.st_uid != os.geteuid() or stat.S_IMODE(found.st_mode) & 0o077:
        raise OSError(
            f"{folder}: others may use this folder; give one of mode 0700 that you own, or none"
            " that exists"
        )
    remove_stale(folder)
    if path.exists():
        raise OSError(f"{path}: another process listens there")
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    made = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        listener.bind(str(made))
        made.chmod(0o600)
        listener.listen(BACKLOG)
        made.rename(path)
    except BaseException:
        listener.close()
        made.unlink(missing_ok=True)
        raise
    return listener


def remove_stale(folder: Path) -> list[Path]:
    """Remove the sockets in ``folder`` that nobody answers; returns them."""
    removed = []
    for path in sorted(folder.iterdir()):
        if path.is_socket() and path.suffix == ".sock" and _dead(path):
            path.unlink(missing_ok=True)
            removed.append(path)
    return removed


def _dead(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK) as probe:
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            return True
        except OSError:
            return False  # busy, or gone by now
    return False


async def connect(path: str) -> socket.socket:
    """A connected socket; OSError if nobody listens at ``path``."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
        await asyncio.get_running_loop().sock_connect(sock, path)
    except BaseException:
        sock.close()
        raise
    return sock


async def exchange(sock: socket.socket, offered: int | None) -> int | None:
    """Send the preamble, and with it the descriptor ``offered``; receive the peer's.

    Returns the descriptor that came with it, which is the caller's to close, if any did.

    Raises:
        FrameError: the peer is of another user, speaks something else, or hangs up.
        OSError: the connection broke.
    """
    _check_owner(sock)
    # A new socket has room for 16 bytes.
    socket.send_fds(sock, [preamble()], [] if offered is None else [offered])
    got = b""
    given: list[int] = []
    try:
        while len(got) < PREAMBLE_BYTES:
            await _readable(sock)
            try:
                data = _receive(sock, PREAMBLE_BYTES - len(got), given)
            except BlockingIOError:
                continue
            if not data:
                raise FrameError("the peer hung up before it said what it speaks")
            got += data
        check_preamble(got)
        if len(given) > 1:
            raise FrameError("the peer passed more than one descriptor")
    except BaseException:
        for fd in given:
            os.close(fd)
        raise
    return given[0] if given else None


def _receive(sock: socket.socket, size: int, given: list[int]) -> bytes:
    """Receive at most ``size`` bytes; descriptors that come with them are added to ``given``.

    ``socket.recv_fds`` drops the flag that keeps them from a child process.
    """
    data, ancillary, _, _ = sock.recvmsg(size, socket.CMSG_LEN(4), socket.MSG_CMSG_CLOEXEC)
    for level, kind, content in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            given += [fd for (fd,) in struct.iter_unpack("i", content[: len(content) // 4 * 4])]
    return data


def _check_owner(sock: socket.socket) -> None:
    data = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    _, user, _ = _CREDENTIALS.unpack(data)
    if user not in (os.geteuid(), 0):
        raise FrameError(f"the peer runs as user {user}, this process as {os.geteuid()}")


async def _readable(sock: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    ready: asyncio.Future[None] = loop.create_future()

    def on_ready() -> None:
        if not ready.done():
            ready.set_result(None)

    loop.add_reader(sock, on_ready)
    try:
        await ready
    finally:
        loop.remove_reader(sock)
