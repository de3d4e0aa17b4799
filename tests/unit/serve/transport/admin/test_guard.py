"""Who is let in: by key, by place, and by the form of what they send."""

from __future__ import annotations

from typing import Any

import pytest

from serve.errors import InvalidRequest
from serve.transport.admin.guard import Access, Guard
from serve.transport.admin.keys import KeyRing, make_key, read_keys
from serve.transport.http.exchange import Exchange
from serve.transport.http.problems import HttpProblem
from serve.transport.http.request_head import Head

JSON = {"content-type": "application/json"}


class Caller:
    """A connection from 10.0.0.9."""

    def peer_host(self) -> str:
        return "10.0.0.9"


def exchange(headers: dict[str, str], method: str = "POST", body: bytes = b"{}") -> Exchange:
    lines: Any = {k.encode(): v.encode() for k, v in ({"host": "localhost:1"} | headers).items()}
    head = Head(method.encode(), b"/", lines, True, False)
    caller: Any = Caller()
    context: Any = None
    return Exchange(caller, context, head, body, len(body), 0, True)


@pytest.fixture
def secret() -> str:
    return make_key("ci").secret


@pytest.fixture
def keys(tmp_path, secret) -> KeyRing:
    path = tmp_path / "keys.yaml"
    path.write_text(f"ci: {secret}\n")
    path.chmod(0o600)
    return read_keys(path)


def status(guard: Guard, asked: Exchange, access: Access = Access.WRITE) -> tuple[int, str]:
    with pytest.raises(HttpProblem) as raised:
        guard.admit(asked, access)
    return raised.value.status, str(raised.value)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost", "127.3.2.1"])
def test_whoever_is_on_the_machine_may_change_things(host):
    assert Guard(host, None).admit(exchange(JSON), Access.WRITE) == "anonymous@10.0.0.9"


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.1", "server.example", ""])
def test_without_keys_nobody_may_from_elsewhere(host):
    guard = Guard(host, None)
    assert status(guard, exchange(JSON))[0] == 403
    assert "--admin-keys" in status(guard, exchange(JSON))[1]
    assert guard.admit(exchange({}), Access.READ) == "anonymous@10.0.0.9"


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:8002",
        "127.0.0.1.evil.example",
        "",
        "[::2]:1",
        "localhost.x",
    ],
)
@pytest.mark.parametrize("access", [Access.READ, Access.WRITE])
def test_name_that_was_made_to_stand_for_loopback_is_refused(host, access):
    code, said = status(Guard("127.0.0.1", None), exchange(JSON | {"host": host}), access)
    assert code == 403
    assert "Host header" in said and "--admin-keys" in said


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]:8002", "LOCALHOST:9", "::1"])
def test_names_of_loopback_are_taken(host):
    Guard("127.0.0.1", None).admit(exchange(JSON | {"host": host}), Access.WRITE)


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://127.0.0.1:8002", ""])
def test_web_page_may_not_change_anything(keys, secret, origin):
    said = JSON | {"origin": origin, "authorization": f"Bearer {secret}"}
    for guard in (Guard("127.0.0.1", None), Guard("0.0.0.0", keys)):
        code, text = status(guard, exchange(said))
        assert code == 403
        assert "Origin" in text


@pytest.mark.parametrize(
    "kind",
    ["text/plain", "application/x-www-form-urlencoded", "", "multipart/form-data", "text/json"],
)
def test_body_that_a_form_could_send_is_refused(kind):
    code, said = status(Guard("127.0.0.1", None), exchange({"content-type": kind}))
    assert code == 415
    assert "Content-Type: application/json" in said


@pytest.mark.parametrize("kind", ["application/json", "Application/JSON; charset=utf-8"])
def test_json_is_taken(kind):
    Guard("127.0.0.1", None).admit(exchange({"content-type": kind}), Access.WRITE)


def test_delete_without_a_body_needs_no_type():
    guard = Guard("127.0.0.1", None)
    guard.admit(exchange({}, "DELETE", b""), Access.WRITE)
    assert status(guard, exchange({}, "DELETE", b"{}"))[0] == 415
    assert status(guard, exchange({}, "POST", b""))[0] == 415


def test_key_names_its_owner_from_anywhere(keys, secret):
    said = JSON | {"authorization": f"bearer {secret}", "host": "penstock.example"}
    guard = Guard("0.0.0.0", keys)
    for access in (Access.READ, Access.WRITE):
        assert guard.admit(exchange(said | {"penstock-user": "eve"}), access) == "ci"


@pytest.mark.parametrize(
    "said", [{}, {"authorization": "Basic Y2k6eA=="}, {"authorization": "Bearer wrong"}]
)
@pytest.mark.parametrize("access", [Access.READ, Access.WRITE])
def test_without_its_key_nobody_is_let_in(keys, said, access):
    for host in ("0.0.0.0", "127.0.0.1"):
        code, text = status(Guard(host, keys), exchange(JSON | said), access)
        assert code == 401
        assert "Authorization: Bearer" in text and "--key-file" in text


def test_probes_are_for_everybody(keys):
    assert Guard("0.0.0.0", keys).admit(exchange({"host": "x"}), Access.OPEN) == ""


def test_user_is_who_says_so_at_an_address():
    said = JSON | {"penstock-user": "zoë"}
    assert Guard("127.0.0.1", None).admit(exchange(said), Access.WRITE) == "zoë@10.0.0.9"


@pytest.mark.parametrize("user", ["a" * 101, "a\tb", "\u202e"])
def test_user_that_cannot_be_shown_is_refused(user):
    with pytest.raises(InvalidRequest, match="Penstock-User"):
        Guard("127.0.0.1", None).admit(exchange({"penstock-user": user}), Access.READ)
