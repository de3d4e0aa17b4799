"""From a table of endpoints to routes: by method, each behind the guard."""

from __future__ import annotations

from serve.transport.admin.endpoints import Endpoint, route_table
from serve.transport.admin.guard import Access, Guard
from serve.transport.http.exchange import Exchange


def act(exchange: Exchange, who: str) -> None:
    raise AssertionError("nobody asked")


def endpoint(method: str, path: str) -> Endpoint:
    return Endpoint(method, path, f"{method}{path}", "", act, Access.WRITE)


def test_methods_of_a_path_are_one_route():
    table = route_table(
        [endpoint("GET", "/a/{model}"), endpoint("PUT", "/a/{model}"), endpoint("POST", "/b")],
        Guard("127.0.0.1", None),
    )
    route = table.resolve(b"/a/m?x=1")
    assert (route.model_name, route.allow) == ("m", b"GET, HEAD, PUT")
    assert set(table.resolve(b"/b").handlers) == {b"POST"}


def test_label_is_any_text():
    table = route_table([endpoint("PUT", "/m/{model}/l/{label}")], Guard("127.0.0.1", None))
    assert table.resolve(b"/m/a%2Fb/l/..%2F%00").label == "../\x00"
