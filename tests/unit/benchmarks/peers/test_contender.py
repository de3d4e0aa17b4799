"""Servers are only timed when their answers are right."""

import itertools

import orjson
import pytest

from benchmarks.answers import WrongAnswerError
from benchmarks.peers.catalogue import Row
from benchmarks.peers.contender import check_answers, memory_mib, running
from benchmarks.peers.routes import json_object
from benchmarks.process import Server, StartError

ROW = Row("toy", "default", json_object("/predict"), "a toy")


class At:
    """As much of a server as is asked for here."""

    def __init__(self, server):
        self.port = server.server_address[1]
        self.name = "toy"


def test_check_answers_accepts_the_model_itself(answering, mlp):
    server = answering(lambda body: orjson.dumps(mlp.session.predict([orjson.loads(body)])[0]))

    check_answers(At(server), ROW, mlp)


def test_check_answers_refuses_another_callers_answer(answering, mlp):
    others = itertools.cycle([*mlp.expected[1:], mlp.expected[0]])
    server = answering(lambda body: orjson.dumps({"probability": next(others)}))

    with pytest.raises(WrongAnswerError, match="ONNX Runtime"):
        check_answers(At(server), ROW, mlp)


@pytest.mark.parametrize("body", [b"{}", b"[]", b"nonsense", b'{"probability": null}'])
def test_check_answers_refuses_an_answer_without_a_probability(answering, mlp, body):
    server = answering(lambda _: body)

    with pytest.raises(WrongAnswerError, match="no probability"):
        check_answers(At(server), ROW, mlp)


def test_running_says_why_a_peer_did_not_start(mlp, tmp_path, monkeypatch):
    command = ["sh", "-c", "echo no such library; exit 1"]
    monkeypatch.setattr("benchmarks.peers.contender._command", lambda *_: command)

    with pytest.raises(StartError, match="no such library"), running(ROW, mlp, tmp_path):
        pass


def test_memory_counts_what_the_keeper_keeps(tmp_path):
    code = "import time, socket; s = socket.create_server(('127.0.0.1', 0)); time.sleep(60)"
    command = ["python3", "-m", "benchmarks.peers.keeper", "python3", "-c", code]
    server = Server("toy", command, 0, tmp_path / "log")
    try:
        while memory_mib(server) < 1.0:
            pass
    finally:
        server.stop()
