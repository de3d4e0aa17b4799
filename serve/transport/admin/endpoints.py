"""What the admin port offers, as one table: the routes and their description come from it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from serve.transport.admin.guard import Access, Guard
from serve.transport.http.exchange import Exchange
from serve.transport.http.routes import Handler, Pattern, RouteTable

__all__ = ["Act", "Endpoint", "Query", "passing", "route_table"]

Act = Callable[[Exchange, str], None]
"""A ``Handler`` that is also told who asks."""


@dataclass(frozen=True, slots=True)
class Query:
    """A parameter of the query; ``kind`` is ``str`` or ``int``."""

    name: str
    kind: type
    about: str


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A method of a path.

    ``name`` is unique. ``body`` and ``answer`` are types of JSON, None where there is none;
    ``text``: the answer is text for people or scrapers.
    """

    method: str
    path: str
    name: str
    about: str
    act: Act
    access: Access = Access.READ
    body: Any = None
    answer: Any = None
    query: tuple[Query, ...] = ()
    text: bool = False


def passing(handler: Handler) -> Act:
    """The act of a handler that does not mind who asks."""
    return lambda exchange, who: handler(exchange)


def route_table(endpoints: Sequence[Endpoint], guard: Guard) -> RouteTable:
    """The routes of endpoints, each behind the guard."""
    paths: dict[str, dict[bytes, Handler]] = {}
    for endpoint in endpoints:
        handlers = paths.setdefault(endpoint.path, {})
        handlers[endpoint.method.encode()] = handler = _guarded(endpoint, guard)
        if endpoint.method == "GET":
            handlers[b"HEAD"] = handler
    return RouteTable([Pattern(path, handlers) for path, handlers in paths.items()])


def _guarded(endpoint: Endpoint, guard: Guard) -> Handler:
    act, access = endpoint.act, endpoint.access
    return lambda exchange: act(exchange, guard.admit(exchange, access))
