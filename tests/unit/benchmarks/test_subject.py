"""The server under test is started, or found where it is."""

import os
import sys

import pytest

from benchmarks.process import StartError
from benchmarks.subject import Given, Launch, UnsupportedError, given, serve, start


def test_serve_starts_a_server_on_free_ports_and_stops_it(toy, tmp_path):
    with serve(toy(), tmp_path / "log") as server:
        target = server.target("http")
        assert (target.port, target.protocol) == (server.http_port, "http")
        assert server.tree.rss_bytes() > 0

    assert server.process.stop() == 0


def test_serve_takes_a_server_that_runs_as_it_is(toy_server, tmp_path):
    address = f"http://127.0.0.1:{toy_server.http_port}"

    with serve(Given(address, pid=os.getpid()), tmp_path / "log") as server:
        assert (server.http_port, server.process) == (toy_server.http_port, None)
        assert server.tree.pid == os.getpid()


def test_start_fills_in_what_the_command_asks_for(tmp_path):
    command = (sys.executable, "-c", "import sys; raise SystemExit(str(sys.argv))")
    words = ("{repository}:{grpc_port}", "{penstock}")
    subject = Launch(tmp_path, command=(*command, *words), penstock="p", flags=("--more",))
    server = start(subject, tmp_path / "baseline.log")

    with pytest.raises(StartError, match="baseline ended at start") as ended:
        server.wait_ready()
    assert f"['-c', '{tmp_path}:{server.grpc_port}', 'p', '--more']" in str(ended.value)


@pytest.mark.parametrize(
    ("url", "host", "port"),
    [("http://a:80", "a", 80), ("b:8001", "b", 8001), ("[::1]:9", "::1", 9)],
)
def test_given_reads_addresses(url, host, port):
    server = given(Given(http="http://x:1", grpc=url))

    assert (server.target("grpc").host, server.target("grpc").port) == (host, port)
    assert server.tree is None


@pytest.mark.parametrize("url", ["http://a", "ftp://a:1", "nonsense"])
def test_given_refuses_what_is_no_address(url):
    with pytest.raises(ValueError, match="is no address"):
        given(Given(http=url))


def test_target_says_which_port_is_missing():
    with pytest.raises(UnsupportedError, match="grpc_stream"):
        given(Given(http="a:1")).target("grpc_stream")
