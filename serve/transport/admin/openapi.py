"""The OpenAPI 3.1 description of the admin port, made from its endpoints and their types."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from serve.transport.admin.endpoints import Endpoint, Query
from serve.transport.admin.guard import Access

__all__ = ["openapi_document"]

REFERENCE = "#/components/schemas/{name}"
VARIABLE = re.compile(r"\{(\w+)\}")
KINDS = {str: "string", int: "integer"}

PATH_PARAMETERS = {
    "model": "Name of the model.",
    "label": "A label: a letter, then at most 63 letters, digits, dots, dashes, underscores.",
}

READ_PROBLEMS = {
    400: "Something is wrong with the request; the message says what, and what to do.",
    401: "The server asks for a key, and this is none of its own.",
    403: "Not from here, or not to this name of the server.",
    404: "There is no such model, version, label or rollout.",
    503: "Not now; try again after Retry-After seconds.",
}
WRITE_PROBLEMS = {
    409: "A rollout is under way, which has to end before.",
    413: "The body is larger than the admin port takes.",
    415: "The body is not said to be application/json.",
}


class Error(msgspec.Struct):
    """What is wrong, and the remedy."""

    error: str


def openapi_document(
    endpoints: Sequence[Endpoint], version: str, *, asks_for_keys: bool
) -> dict[str, Any]:
    """The description of all endpoints; ``version`` is the server's."""
    types = [t for each in endpoints for t in (each.body, each.answer) if t is not None]
    unique = [*{id(t): t for t in [*types, Error]}.values()]
    schemas, components = msgspec.json.schema_components(unique, ref_template=REFERENCE)
    schema_of = {id(t): schema for t, schema in zip(unique, schemas, strict=True)}
    paths: dict[str, dict[str, Any]] = {}
    for endpoint in endpoints:
        described = _operation(endpoint, schema_of, asks_for_keys=asks_for_keys)
        paths.setdefault(endpoint.path, {})[endpoint.method.lower()] = described
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Penstock admin API",
            "version": version,
            "description": "Traffic, rollouts, labels and the audit log of the models of a server.",
        },
        "paths": paths,
        "components": {
            "schemas": components,
            "responses": {
                _problem(status): {
                    "description": about,
                    "content": {"application/json": {"schema": schema_of[id(Error)]}},
                }
                for status, about in (READ_PROBLEMS | WRITE_PROBLEMS).items()
            },
            "securitySchemes": {
                "key": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "A key of the file that --admin-keys names.",
                }
            },
        },
    }


def _operation(
    endpoint: Endpoint, schema_of: Mapping[int, Any], *, asks_for_keys: bool
) -> dict[str, Any]:
    variables = VARIABLE.findall(endpoint.path)
    operation: dict[str, Any] = {
        "operationId": endpoint.name,
        "summary": endpoint.about,
        "responses": _responses(endpoint, schema_of),
        "security": [] if endpoint.access is Access.OPEN else [{"key": []}],
    }
    if endpoint.access is not Access.OPEN and not asks_for_keys:
        operation["security"].append({})  # on loopback, as long as there are no keys
    if variables or endpoint.query:
        operation["parameters"] = [
            *(_path_parameter(name) for name in variables),
            *map(_query_parameter, endpoint.query),
        ]
    if endpoint.body is not None:
        operation["requestBody"] = {
            "required": _has_required(endpoint.body),
            "content": {"application/json": {"schema": schema_of[id(endpoint.body)]}},
        }
    return operation


def _responses(endpoint: Endpoint, schema_of: Mapping[int, Any]) -> dict[str, Any]:
    ok: dict[str, Any] = {"description": "Done."}
    if endpoint.text:
        ok["content"] = {"text/plain": {"schema": {"type": "string"}}}
    else:
        schema = {"type": "object"} if endpoint.answer is None else schema_of[id(endpoint.answer)]
        ok["content"] = {"application/json": {"schema": schema}}
    problems = [] if endpoint.access is Access.OPEN else [*READ_PROBLEMS]
    if endpoint.access is Access.WRITE:
        problems += WRITE_PROBLEMS
    elif not VARIABLE.search(endpoint.path):
        problems = [status for status in problems if status != 404]
    return {
        "200": ok,
        **{
            str(status): {"$ref": f"#/components/responses/{_problem(status)}"}
            for status in sorted(problems)
        },
    }


def _problem(status: int) -> str:
    return f"Problem{status}"


def _path_parameter(name: str) -> dict[str, Any]:
    return {
        "name": name,
        "in": "path",
        "required": True,
        "description": PATH_PARAMETERS[name],
        "schema": {"type": "string"},
    }


def _query_parameter(query: Query) -> dict[str, Any]:
    return {
        "name": query.name,
        "in": "query",
        "required": False,
        "description": query.about,
        "schema": {"type": KINDS[query.kind]},
    }


def _has_required(body: Any) -> bool:
    return any(field.required for field in msgspec.structs.fields(body))
