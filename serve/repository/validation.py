"""From a mapping to ModelConfig, with errors that name the field and the remedy."""

from __future__ import annotations

import difflib
import json
from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from typing import Any, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from serve.config import ModelConfig
from serve.errors import RepositoryError

__all__ = ["validate"]

MAX_ERRORS = 8
MAX_VALUE_CHARS = 60

Location = tuple[str | int, ...]


def validate(
    data: Mapping[str, Any], path: str, name_of: Callable[[str], str] = lambda field: field
) -> ModelConfig:
    """The settings in ``data``; ``name_of`` gives the name a field has in the file read.

    Raises:
        RepositoryError: names the first field that is wrong; its message has all of them.
    """
    try:
        return ModelConfig.model_validate(data)
    except ValidationError as error:
        problems = _by_field(error, data)
    (field, problem, remedy), *others = [
        (name_of(_dotted(location)), *_explain(location, details))
        for location, details in islice(problems.items(), MAX_ERRORS)
    ]
    for other, text, help_text in others:
        problem += f"; {other}: {text} ({help_text})" if other else f"; {text} ({help_text})"
    if len(problems) > MAX_ERRORS:
        problem += f"; and {len(problems) - MAX_ERRORS} more"
    raise RepositoryError(path=path, field=field, problem=problem, remedy=remedy)


def _by_field(error: ValidationError, data: Any) -> dict[Location, list[ErrorDetails]]:
    """Errors grouped by field: pydantic gives one for each member of a union."""
    groups: dict[Location, list[ErrorDetails]] = {}
    for details in error.errors(include_url=False):
        groups.setdefault(_inside(data, details["loc"]), []).append(details)
    return groups


def _inside(data: Any, location: Location) -> Location:
    """The part of a location that is in the data, without the name of the union's member."""
    for depth, key in enumerate(location):
        inside = (
            key in data
            if isinstance(data, Mapping)
            else isinstance(data, list | tuple) and isinstance(key, int) and key < len(data)
        )
        if not inside:
            return location[:depth]
        data = data[key]
    return location


def _dotted(location: Location) -> str:
    return ".".join(_shown(str(key), quote=False) for key in location)


def _shown(value: Any, quote: bool = True) -> str:
    """A value as it may appear in a message: on one line, printable and short."""
    try:
        text = json.dumps(value, default=repr) if quote else str(value)
    except (TypeError, ValueError, RecursionError):
        text = repr(value)
    text = text.encode("unicode_escape").decode() if not text.isprintable() else text
    return text if len(text) <= MAX_VALUE_CHARS else f"{text[:MAX_VALUE_CHARS]}..."


def _explain(location: Location, details: list[ErrorDetails]) -> tuple[str, str]:
    """The problem and the remedy of one field."""
    first = details[0]
    fields, described = _around(location)
    if first["type"] == "extra_forbidden":
        return "unknown field", _suggestion(str(location[-1]), fields)
    texts = dict.fromkeys(
        item["msg"].removeprefix("Value error, ").replace("Input should be", "should be")
        for item in details
    )
    problem = " or ".join(texts).replace(" or should be ", " or ")
    problem = problem.removeprefix(f"{location[-1]}: " if location else "")
    if first["type"] != "value_error":
        problem += f", is {_shown(first['input'])}"
    if first["type"] == "string_type" and not isinstance(first["input"], dict | list | None):
        return problem, "put the value in quotes"
    if described:
        return problem, f"change it; {described}"
    return problem, "change it; `penstock schema` describes every field"


def _around(location: Location) -> tuple[list[str], str]:
    """The fields beside the one at ``location``, and ``name: description`` of the innermost
    field that has a description."""
    kind: Any = ModelConfig
    names: list[str] = []
    described = ""
    for key in location:
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            names = list(kind.model_fields)
            field = kind.model_fields.get(str(key))
            if field is None:
                break
            kind = field.annotation
            described = f"{key}: {' '.join((field.description or '').split())}"
        elif get_origin(kind) is dict:
            kind = get_args(kind)[1]
        else:
            break
    return names, described


def _suggestion(name: str, beside: list[str]) -> str:
    """What was meant by an unknown field: one beside it, or one of another group."""
    close = difflib.get_close_matches(name, beside, n=1)
    if close:
        return f"did you mean `{close[0]}`?"
    elsewhere = {path.rsplit(".", 1)[1]: path for path in _grouped_fields()}
    close = difflib.get_close_matches(name, elsewhere, n=1, cutoff=0.8)
    if close:
        return f"did you mean `{elsewhere[close[0]]}`?"
    return f"remove it; the fields here are {', '.join(beside)}"


def _grouped_fields() -> Iterator[str]:
    """``batching.max_batch_size`` and its like: the fields one level down."""
    for name, field in ModelConfig.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            for inner in kind.model_fields:
                yield f"{name}.{inner}"
