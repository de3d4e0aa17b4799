"""Heads and error bodies."""

import json

from serve.errors import BackendError, NotReady, Overloaded
from serve.protocol.status import DEFAULT
from serve.transport.http.problems import method_not_allowed
from serve.transport.http.response import JSON, REFUSED, error_body, error_head, head, ok_json_head
from tests.support.http import parse_replies


def test_head_of_a_plain_answer_is_the_prebuilt_one():
    assert head(200, JSON, 5) == ok_json_head(5)


def test_head_of_an_unlisted_status_has_a_reason():
    assert head(418, JSON, 0).startswith(b"HTTP/1.1 418 Unknown\r\n")


def test_refusal_of_a_connection_is_a_whole_answer():
    (reply,) = parse_replies(REFUSED)
    assert (reply.status, reply.headers["connection"]) == (503, "close")
    assert "--max-connections" in reply.json["error"]


def test_error_body_survives_what_is_not_unicode():
    assert json.loads(error_body(BackendError('a"\n\ud800'))) == {"error": 'a"\n?'}


def test_error_head_has_the_status_of_the_table():
    assert error_head(BackendError("x"), DEFAULT) == (500, b"")


def test_error_head_says_when_to_try_again_in_whole_seconds():
    refusal = Overloaded("x", reason="queue", retry_after_s=0.01)
    assert error_head(refusal, DEFAULT) == (503, b"Retry-After: 1\r\n")
    assert error_head(NotReady("x"), DEFAULT) == (503, b"Retry-After: 1\r\n")


def test_error_head_of_a_problem_is_its_own():
    assert error_head(method_not_allowed(b"GET"), DEFAULT) == (405, b"Allow: GET\r\n")
