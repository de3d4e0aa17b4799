"""Memory that two processes on one machine see: large payloads are written there, not sent.

The writer of payloads owns an ``Arena`` and gives the other side its file descriptor over their
Unix socket; the other has it as a ``Window``, which it can only read. The file has no name, so
nothing is left when both processes are gone, however they went. It is sealed at its size: a
window is never cut short under its reader's hands, which would kill the reader.
"""

from __future__ import annotations

import fcntl
import logging
import mmap
import os
import weakref
from bisect import insort
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from serve.executors.remote.tensors import Buffer
from serve.executors.remote.wire import FrameError

__all__ = ["Arena", "Window", "new_arena"]

log = logging.getLogger("penstock.remote")

PAGE_BYTES = 4096
MOST_BYTES = 1 << 40
_SEALS = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL

Bytes = npt.NDArray[np.uint8]


class Arena:
    """Shared memory that this process writes; regions of it are given out and taken back.

    Memory is taken up by a region when it is first written to, and kept for the next one: the
    lowest free place is used, so that what is taken up is the most ever in use at once.
    """

    def __init__(self, size: int) -> None:
        """``size`` in bytes.

        Raises:
            OSError: there is no such memory.
        """
        self.size = -(-size // PAGE_BYTES) * PAGE_BYTES
        self.fd = os.memfd_create("penstock-batches", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        try:
            os.ftruncate(self.fd, self.size)
            fcntl.fcntl(self.fd, fcntl.F_ADD_SEALS, _SEALS)
            self._map = mmap.mmap(self.fd, self.size)
        except BaseException:
            os.close(self.fd)
            raise
        self._bytes: Bytes = np.frombuffer(self._map, np.uint8)
        self._regions: list[tuple[int, int]] = []  # (first, end), ascending
        self._touched = False

    def close_file(self) -> None:
        """Close the descriptor, once the other side has it; the memory stays."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1

    @property
    def in_use(self) -> int:
        """Regions that are given out."""
        return len(self._regions)

    def write(self, buffers: Sequence[Buffer], size: int) -> int | None:
        """Copy buffers into a new region, whose offset is returned; None if there is no room."""
        first = self._take(size)
        if first is None:
            return None
        self._touched = True
        start = first
        for buffer in buffers:
            data: Bytes = (
                buffer.reshape(-1).view(np.uint8)
                if isinstance(buffer, np.ndarray)
                else np.frombuffer(buffer, np.uint8)
            )
            end = start + len(data)
            self._bytes[start:end] = data
            start = end
        return first

    def free(self, offset: int) -> None:
        """Take a region back.

        Raises:
            FrameError: there is no region there.
        """
        for index, (first, _) in enumerate(self._regions):
            if first == offset:
                del self._regions[index]
                return
        raise FrameError(f"no region of shared memory begins at {offset}")

    def trim(self) -> bool:
        """Give the memory back to the system if no region is given out; whether it did."""
        if self._regions or not self._touched:
            return False
        self._touched = False
        self._map.madvise(mmap.MADV_REMOVE)
        return True

    def _take(self, size: int) -> int | None:
        size = max(1, -(-size // PAGE_BYTES)) * PAGE_BYTES
        first = 0
        for start, end in self._regions:
            if start - first >= size:
                break
            first = end
        if self.size - first < size:
            return None
        insort(self._regions, (first, first + size))
        return first


def new_arena(size: int) -> Arena | None:
    """An arena, if one is wanted and there can be one: without it payloads are sent."""
    if not size:
        return None
    try:
        return Arena(size)
    except OSError as error:
        log.warning("no shared memory, large batches are sent instead: %s", error)
        return None


class Window:
    """Another process's arena, read-only. ``fd`` is closed here, whatever happens."""

    def __init__(self, fd: int) -> None:
        """Map it.

        Raises:
            FrameError: it is not memory that keeps its size.
        """
        try:
            self.size = os.fstat(fd).st_size
            if fcntl.fcntl(fd, fcntl.F_GET_SEALS) & _SEALS != _SEALS:
                raise FrameError("the shared memory offered is not sealed at its size")
            if not 0 < self.size <= MOST_BYTES:
                raise FrameError(f"shared memory of {self.size} bytes was offered")
            self._map = mmap.mmap(fd, self.size, access=mmap.ACCESS_READ)
        except (OSError, ValueError) as error:
            raise FrameError(f"the shared memory offered cannot be mapped: {error}") from None
        finally:
            os.close(fd)
        self._watched: dict[int, weakref.ref[Bytes]] = {}
        self._number = 0

    def region(self, offset: int, size: int, released: Callable[[], None] | None = None) -> Bytes:
        """The bytes of a region; ``released`` is called when no view of them is left.

        That may be in any thread.

        Raises:
            FrameError: they are not all inside.
        """
        if size > self.size or offset > self.size - size:
            raise FrameError(f"{size} bytes at {offset} are not inside {self.size} bytes")
        data: Bytes = np.frombuffer(self._map, np.uint8, size, offset)
        if released is not None:
            watched = self._watched
            self._number += 1
            number = self._number

            def gone(_: weakref.ref[Bytes]) -> None:
                del watched[number]
                released()

            watched[number] = weakref.ref(data, gone)
        return data
