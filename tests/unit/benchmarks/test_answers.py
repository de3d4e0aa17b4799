"""Servers are asked before they are timed."""

import pytest

from benchmarks.answers import WrongAnswerError, ask, ask_once, same_answers
from benchmarks.loadgen.spec import Target
from benchmarks.payloads import Payload
from benchmarks.process import free_port
from benchmarks.subject import serve

INFER = Payload("p", "/v2/models/toy/infer", (), b"{}", 1)


def test_ask_gives_the_body(toy_server):
    assert b'"data": [0.5]' in ask(toy_server.process, INFER)


def test_ask_once_says_what_was_answered_instead(toy_server):
    with pytest.raises(WrongAnswerError, match="404"):
        ask_once(toy_server.target("http"), Payload("p", "/none", (), b"", 1))


def test_ask_once_speaks_grpc_as_well():
    with pytest.raises(WrongAnswerError, match="UNAVAILABLE"):
        ask_once(Target(port=free_port(), protocol="grpc"), INFER)


def test_same_answers_accepts_two_that_agree(toy, toy_server, tmp_path):
    with serve(toy(), tmp_path / "other.log") as other:
        same_answers(toy_server.process, other.process, INFER)
