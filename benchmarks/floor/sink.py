"""A server that reads a request and throws it away: what the kernel's side of a body costs.

One connection at a time, one buffer for ever, no copy in user space, no event loop. A server's
CPU for a large body, less this, is what the server itself spends on it.

    python -m benchmarks.floor.sink --port N
"""

from __future__ import annotations

import argparse
import re
import socket

BUFFER_BYTES = 256 * 1024  # what uvloop reads at once
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)


def serve(connection: socket.socket) -> None:
    """Answer every request on one connection; requests must not be pipelined."""
    buffer = memoryview(bytearray(BUFFER_BYTES))
    while head_bytes := connection.recv_into(buffer):
        head, _, body = bytes(buffer[:head_bytes]).partition(b"\r\n\r\n")
        length = LENGTH.search(head)
        left = int(length.group(1)) - len(body) if length else 0
        while left > 0 and (read := connection.recv_into(buffer)):
            left -= read
        connection.sendall(ANSWER)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    with socket.create_server(("127.0.0.1", parser.parse_args().port)) as listener:
        while True:
            connection, _ = listener.accept()
            with connection:
                serve(connection)


if __name__ == "__main__":
    main()
