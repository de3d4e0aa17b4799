"""A server that receives a request and forgets it: the least that a large body costs.

The kernel writes each body straight into fresh memory of its size; no copy is made in user space,
and no event loop is asked. A server's CPU for a large body, less this, is what it adds.

    python -m benchmarks.floor.sink --port N
"""

from __future__ import annotations

import argparse
import contextlib
import re
import socket

import numpy as np

HEAD_BYTES = 4096
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


def serve(connection: socket.socket) -> None:
    """Answer every request on one connection; requests must not be pipelined."""
    while first := connection.recv(HEAD_BYTES):
        head, _, begun = first.partition(b"\r\n\r\n")
        length = LENGTH.search(head)
        body = np.empty(int(length.group(1)) if length else 0, np.uint8).data
        filled = len(begun)
        body[:filled] = begun
        while filled < len(body) and (read := connection.recv_into(body[filled:])):
            filled += read
        connection.sendall(ANSWER)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    with socket.create_server(("127.0.0.1", parser.parse_args().port)) as listener:
        while True:
            connection, _ = listener.accept()
            with connection, contextlib.suppress(ConnectionError):
                serve(connection)


if __name__ == "__main__":
    main()
