"""Questions to the admin port of a running server, and what is wrong if it does not answer."""

from __future__ import annotations

import getpass
import http.client
import os
import urllib.error
import urllib.parse
import urllib.request
from typing import Any, TypeVar

import msgspec

from serve.config import AdminSettings

__all__ = ["Refused", "ask"]

T = TypeVar("T")

TIMEOUT_S = 10.0
MAX_USER_CHARACTERS = 100
MAX_ANSWER_BYTES = 64 * 1024 * 1024


class Refused(ValueError):
    """What the server said of a request that it did not grant."""


NO_SUCH_PATH = "Not Found"
"""What a port of ours says of a path that only the admin port has, as the clients' port does."""


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Our server never sends anybody elsewhere, and a key must not go there."""

    def redirect_request(self, *args: Any) -> None:
        """Nowhere."""


# Straight there: a proxy of the environment seldom knows the way to an admin port.
_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), _NoRedirect())


def ask(
    admin: str,
    path: str,
    answer: type[T],
    timeout_s: float = TIMEOUT_S,
    *,
    method: str = "GET",
    body: Any = None,
    key: str = "",
) -> T:
    """The JSON that ``path`` of the server at ``admin`` answers; blocks.

    ``admin`` is a URL, or host:port; ``body`` is sent as JSON where it is not None.

    Raises:
        Refused: the server says why it does not do as asked.
        ValueError: ``admin`` is no such thing, or something else than a server of ours answers.
        ConnectionError: nothing answers, or not in time.
    """
    base = _base(admin)
    headers = {"Penstock-User": _user(), "Accept": "application/json"}
    if key:
        headers["Authorization"] = f"Bearer {key}"
    data = None
    if body is not None:
        data = msgspec.json.encode(body)
        headers["Content-Type"] = "application/json"
    request = urllib.request.Request(  # noqa: S310 - _base lets http and https through
        base + path, data, headers, method=method
    )
    try:
        with _opener.open(request, timeout=timeout_s) as reply:
            body = reply.read(MAX_ANSWER_BYTES)
    except urllib.error.HTTPError as error:
        said = _said(error)
        if said and said != NO_SUCH_PATH:
            raise Refused(said) from None
        raise ValueError(_stranger(base, f"it answers {path} with status {error.code}")) from None
    except http.client.HTTPException as error:
        said = f"it does not speak HTTP ({type(error).__name__})"
        raise ValueError(_stranger(base, said)) from None
    except OSError as error:
        reason = error.reason if isinstance(error, urllib.error.URLError) else error
        text = reason.strerror if isinstance(reason, OSError) and reason.strerror else str(reason)
        raise ConnectionError(
            f"no server answers at {base} ({text}): start one with `penstock serve`, or say where"
            " its admin port is with --admin"
        ) from None
    try:
        return msgspec.json.decode(body, type=answer)
    except msgspec.MsgspecError as error:
        raise ValueError(_stranger(base, f"its answer to {path}: {error}")) from None


def _said(error: urllib.error.HTTPError) -> str:
    """The message of an error of our server; "" if it is none of ours."""
    with error:
        try:
            found = msgspec.json.decode(error.read(MAX_ANSWER_BYTES), type=dict[str, Any])
        except (OSError, http.client.HTTPException, msgspec.MsgspecError):
            return ""
    said = found.get("error")
    return said if isinstance(said, str) else ""


def _user() -> str:
    """Who asks, for the audit log: UTF-8, as a header has it."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # nobody of that number
        user = f"uid {os.getuid()}"
    return user[:MAX_USER_CHARACTERS].encode("utf-8", "replace").decode("latin-1")


def _base(admin: str) -> str:
    url = admin if "://" in admin else f"http://{admin}"
    parts = urllib.parse.urlsplit(url)
    try:
        usable = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:  # of the port
        usable = False
    if not usable:
        raise ValueError(f"--admin should be a URL or host:port, like localhost:8002; is {admin!r}")
    return url.rstrip("/")


def _stranger(base: str, said: str) -> str:
    return (
        f"{base} is not the admin port of a Penstock server: {said}; the admin port is"
        f" {AdminSettings().port} unless `penstock serve` was given --admin-port"
    )
