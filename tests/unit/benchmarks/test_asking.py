"""Questions to a server under test: who does not answer well is named."""

import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from benchmarks.asking import ask_json
from benchmarks.process import free_port
from benchmarks.subject import UnsupportedError


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        body = b'{"told": 1}' if self.path == "/told" else b"no such page"
        self.send_response(200 if self.path == "/told" else 404)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_PUT(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b'{"%b": %b}' % (self.headers["Content-Type"].encode(), body))

    def log_message(self, *_):
        pass


@pytest.fixture
def port():
    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


def test_answer_is_read_as_json(port):
    assert ask_json("127.0.0.1", port, "GET", "/told", "the server") == {"told": 1}


def test_question_has_a_body_in_json(port):
    answer = ask_json("127.0.0.1", port, "PUT", "/told", "the server", {"share": 5})

    assert answer == {"application/json": {"share": 5}}


def test_other_status_is_told_with_what_was_said(port):
    with pytest.raises(UnsupportedError, match=r"its admin port answers 404 to /status.*no such"):
        ask_json("127.0.0.1", port, "GET", "/status", "its admin port")


def test_nobody_there_is_told():
    with pytest.raises(UnsupportedError, match="the server cannot be asked for /v2: "):
        ask_json("127.0.0.1", free_port(), "GET", "/v2", "the server")
