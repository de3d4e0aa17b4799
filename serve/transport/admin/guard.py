"""Who may do what on the admin port, and by which name the audit log knows them.

With keys every operation needs one. Without them a server that listens on loopback trusts whoever
is on the machine, and nobody else: a web page in a browser there can send requests too, so a
change must have a form that pages cannot give it (JSON, no ``Origin``), and the ``Host`` must be
loopback, which that of a page is not whose name was made to stand for 127.0.0.1 (DNS rebinding).
"""

from __future__ import annotations

import ipaddress
from enum import Enum

from serve.errors import Code, InvalidRequest
from serve.transport.admin.keys import KeyRing
from serve.transport.http.exchange import Exchange
from serve.transport.http.problems import HttpProblem

__all__ = ["Access", "Guard"]

SCHEME = b"bearer"
CHALLENGE = b'WWW-Authenticate: Bearer realm="penstock admin"\r\n'
JSON = b"application/json"
MAX_USER_CHARACTERS = 100
ANYBODY = "anonymous"
BODILESS = {b"DELETE"}
"""Methods that a page cannot use without asking first: without a body they need no type."""


class Access(Enum):
    """What an endpoint lets people do."""

    OPEN = "open"
    """Probes and metrics: for everybody."""
    READ = "read"
    WRITE = "write"


class Guard:
    """Lets requests to an admin port pass, or raises what is wrong with them."""

    def __init__(self, host: str, keys: KeyRing | None) -> None:
        """``host``: the address listened on; ``keys``: None, if there are none."""
        self._loopback = _is_loopback(host)
        self._keys = keys

    @property
    def asks_for_keys(self) -> bool:
        """Whether there are keys."""
        return self._keys is not None

    def admit(self, exchange: Exchange, access: Access) -> str:
        """Who asks, for the audit log.

        Raises:
            HttpProblem: they may not, or not so.
            InvalidRequest: they do not say properly who they are.
        """
        if access is Access.OPEN:
            return ""
        headers = exchange.head.headers
        if self._keys is not None:
            who = self._key_name(headers.get(b"authorization", b""), self._keys)
        else:
            self._check_place(headers.get(b"host", b""), access)
            who = _user(exchange)
        if access is Access.WRITE:
            _check_form(exchange)
        return who

    def _key_name(self, authorization: bytes, keys: KeyRing) -> str:
        scheme, _, secret = authorization.partition(b" ")
        if scheme.lower() != SCHEME:
            raise _no_key("this server asks for a key")
        name = keys.name_of(secret.strip())
        if not name:
            raise _no_key("this key is not known here")
        return name

    def _check_place(self, host: bytes, access: Access) -> None:
        if self._loopback:
            if not _is_loopback(_host_of(host)):
                raise _forbidden(
                    f"the Host header is {host.decode('latin-1')!r:.80}, and a server that listens"
                    " on loopback without keys answers to localhost and 127.0.0.1 only: ask it by"
                    " one of these names, or give it keys with --admin-keys"
                )
        elif access is Access.WRITE:
            raise _forbidden(
                "changes are taken on loopback only, unless there are keys: start the server with"
                " --admin-keys FILE (`penstock admin-key NAME` makes one), or with --admin-host"
                " 127.0.0.1"
            )


def _check_form(exchange: Exchange) -> None:
    """Refuse what a web page could send from somebody's browser."""
    head = exchange.head
    if (origin := head.headers.get(b"origin")) is not None:
        raise _forbidden(
            f"a web page ({origin.decode('latin-1')!r:.80}) may not change anything here: leave out"
            " the Origin header, if it is no page that asks"
        )
    content_type = head.headers.get(b"content-type", b"")
    if head.method in BODILESS and not exchange.body and not content_type:
        return
    if content_type.partition(b";")[0].strip().lower() != JSON:
        raise HttpProblem(
            415,
            Code.INVALID_ARGUMENT,
            "the body should be JSON, and said to be: send the header Content-Type:"
            f" application/json (it is {content_type.decode('latin-1')!r:.80})",
        )


def _user(exchange: Exchange) -> str:
    """USER@PEER, where USER is what the client says of itself."""
    assert exchange.connection is not None
    said = exchange.head.headers.get(b"penstock-user", b"")
    try:
        user = said.decode() or ANYBODY
    except UnicodeDecodeError:
        user = ""
    if not user.isprintable() or not 1 <= len(user) <= MAX_USER_CHARACTERS:
        raise InvalidRequest(
            f"the header Penstock-User should be printable UTF-8, of {MAX_USER_CHARACTERS}"
            " characters at most; or left out"
        )
    return f"{user}@{exchange.connection.peer_host()}"


def _host_of(header: bytes) -> str:
    """The host of a Host header, without its port."""
    text = header.decode("latin-1").strip()
    if text.startswith("["):
        return text[1:].partition("]")[0]
    return text.rpartition(":")[0] if text.count(":") == 1 else text


def _is_loopback(host: str) -> bool:
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _no_key(problem: str) -> HttpProblem:
    message = (
        f"{problem}: send the header Authorization: Bearer KEY; the command line takes the key from"
        " --key-file or PENSTOCK_ADMIN_KEY"
    )
    return HttpProblem(401, Code.INVALID_ARGUMENT, message, CHALLENGE)


def _forbidden(message: str) -> HttpProblem:
    return HttpProblem(403, Code.INVALID_ARGUMENT, message)
