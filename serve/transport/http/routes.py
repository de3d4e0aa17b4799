"""From a request target to the handlers of its path: a table, and a cache in front of it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import unquote_to_bytes

from serve.config.model import LABEL
from serve.errors import InvalidRequest, NotFound

if TYPE_CHECKING:
    from serve.transport.http.exchange import Exchange

__all__ = ["Handler", "Pattern", "Route", "RouteTable", "get", "post"]

Handler = Callable[["Exchange"], None]
"""Must lead to exactly one ``reply``, ``fail`` or ``wait`` of the exchange, or raise; never block.

A PenstockError that it raises is answered as such, any other exception with status 500.
"""

_VERSION = re.compile(rf"[0-9]+|{LABEL.pattern}")
_MAX_CACHED = 4096
_MAX_CACHED_BYTES = 512


@dataclass(frozen=True, slots=True, eq=False)
class Route:
    """A resolved path: its handlers by method, and what the path names. Equal only to itself."""

    handlers: Mapping[bytes, Handler]
    allow: bytes
    model_name: str = ""
    model_version: str = ""
    label: str = ""


@dataclass(frozen=True, slots=True)
class Pattern:
    """A path such as ``/v2/models/{model}/versions/{version}/ready``.

    ``{model}`` is any name, ``{version}`` digits or a label, ``{label}`` any text, and any other
    ``{...}`` a segment of no consequence.
    """

    path: str
    handlers: Mapping[bytes, Handler]

    def match(self, segments: Sequence[str]) -> Route | None:
        """The route if the segments are this path, which has as many."""
        names = {}
        for mine, given in zip(self.path.split("/"), segments, strict=True):
            if mine.startswith("{"):
                names[mine] = given
            elif mine != given:
                return None
        model, version = names.get("{model}", ""), names.get("{version}", "")
        if ("{model}" in names and not model) or (version and not _VERSION.fullmatch(version)):
            return None
        if "{version}" in names and not version:
            return None
        allow = b", ".join(sorted(self.handlers))
        return Route(self.handlers, allow, model, version, names.get("{label}", ""))


def get(handler: Handler) -> dict[bytes, Handler]:
    """Handlers of a path that is read; HEAD differs only in that no body is sent."""
    return {b"GET": handler, b"HEAD": handler}


def post(handler: Handler) -> dict[bytes, Handler]:
    """Handlers of a path that takes a body."""
    return {b"POST": handler}


class RouteTable:
    """Patterns in order of precedence; a path that was resolved once is one look-up."""

    __slots__ = ("_by_length", "_cache")

    def __init__(self, patterns: Sequence[Pattern]) -> None:
        self._cache: dict[bytes, Route] = {}
        self._by_length: dict[int, list[Pattern]] = {}
        for pattern in patterns:
            self._by_length.setdefault(pattern.path.count("/"), []).append(pattern)

    def resolve(self, target: bytes) -> Route:
        """The route of a raw request target.

        Raises:
            NotFound: no path of the table.
            InvalidRequest: the path is not UTF-8 once percent-decoded.
        """
        route = self._cache.get(target)
        return route if route is not None else self._resolve(target)

    def _resolve(self, target: bytes) -> Route:
        path = _path(target)
        route = self._cache.get(path)
        if route is None:
            route = self._match(path)
            # Bounded, and cleared rather than aged: a client that varies names gains nothing.
            if len(path) <= _MAX_CACHED_BYTES:
                if len(self._cache) >= _MAX_CACHED:
                    self._cache.clear()
                self._cache[path] = route
        return route

    def _match(self, path: bytes) -> Route:
        length = path.count(b"/")
        if length in self._by_length:
            try:
                segments = [unquote_to_bytes(part).decode() for part in path.split(b"/")]
            except UnicodeDecodeError:
                raise InvalidRequest("the path is not UTF-8 once percent-decoded") from None
            for pattern in self._by_length[length]:
                route = pattern.match(segments)
                if route is not None:
                    return route
        raise NotFound("Not Found")


def _path(target: bytes) -> bytes:
    """The path of a target in origin form or absolute form (RFC 9112, section 3.2)."""
    path = target.partition(b"?")[0].partition(b"#")[0]
    if path[:1] != b"/" and b"://" in path:
        path = b"/" + path.partition(b"://")[2].partition(b"/")[2]
    return path
