"""Paths to handlers: names, versions, forms of the target, and the bound of the cache."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serve.errors import InvalidRequest, NotFound, PenstockError
from serve.transport.http import routes
from serve.transport.http.routes import Pattern, RouteTable, get, post


def handler(exchange):
    raise AssertionError("routes are resolved here, not followed")


TABLE = [
    Pattern("/v2", get(handler)),
    Pattern("/v2/models/stats", get(handler)),
    Pattern("/v2/models/{model}", {**get(handler), **post(handler)}),
    Pattern("/v2/models/{model}/versions/{version}/infer", post(handler)),
    Pattern("/v2/repository/{repository}/index", post(handler)),
]


@pytest.fixture
def table():
    return RouteTable(TABLE)


@pytest.mark.parametrize(
    ("target", "model", "version"),
    [
        (b"/v2", "", ""),
        (b"/v2?x=/y", "", ""),
        (b"http://host:1/v2", "", ""),
        (b"/v2/models/stats", "", ""),
        (b"/v2/models/m", "m", ""),
        (b"/v2/models/a%20b%2Fc", "a b/c", ""),
        (b"/v2/models/caf%C3%A9", "café", ""),
        (b"/v2/models/m/versions/007/infer?a#b", "m", "007"),
        (b"/v2/models/m/versions/canary-2/infer", "m", "canary-2"),
        (b"/v2/repository/any/index", "", ""),
    ],
)
def test_resolve_names_model_and_version(table, target, model, version):
    for _ in range(2):
        route = table.resolve(target)
        assert (route.model_name, route.model_version) == (model, version)


@pytest.mark.parametrize(
    "target",
    [
        b"",
        b"*",
        b"/",
        b"/v2/",
        b"//v2",
        b"/V2",
        b"/v2/models",
        b"/v2/models/",
        b"/v2/models//versions/1/infer",
        b"/v2/models/m/versions/4th/infer",
        b"/v2/models/m/versions/-1/infer",
        b"/v2/models/m/versions//infer",
        b"/v2/models/m/versions/%D9%A1/infer",
        b"a:1",
    ],
)
def test_resolve_refuses_other_paths(table, target):
    with pytest.raises(NotFound, match=r"^Not Found$"):
        table.resolve(target)


def test_resolve_refuses_what_is_not_utf8(table):
    with pytest.raises(InvalidRequest, match="UTF-8"):
        table.resolve(b"/v2/models/%ff")


def test_allow_lists_the_methods(table):
    assert table.resolve(b"/v2/models/m").allow == b"GET, HEAD, POST"


def test_cache_is_bounded(table, monkeypatch):
    monkeypatch.setattr(routes, "_MAX_CACHED", 10)
    for index in range(100):
        table.resolve(b"/v2/models/%d" % index)
        table.resolve(b"/v2?%d" % index)
        table.resolve(b"/v2/models/" + b"x" * 600)
    assert len(table._cache) <= 10
    assert all(len(path) <= 512 for path in table._cache)


@given(st.binary(max_size=80))
def test_resolve_raises_nothing_but_its_errors(target):
    with contextlib.suppress(PenstockError):
        RouteTable(TABLE).resolve(b"/v2/models/" + target)
