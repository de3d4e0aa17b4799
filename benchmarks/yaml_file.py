"""YAML files into pydantic models, with errors that name the file, the field and the remedy."""

from __future__ import annotations

import difflib
import types
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, TypeVar, get_args, get_origin

import yaml
from pydantic import BaseModel, ValidationError

from serve.repository.yaml_text import load_yaml

__all__ = ["YamlFileError", "override", "read_mapping", "validated"]

Spec = TypeVar("Spec", bound=BaseModel)
MAX_ERRORS = 5


class YamlFileError(ValueError):
    """A file that people write is wrong; the message says where and what to do."""


def read_mapping(path: Path) -> dict[str, Any]:
    """The mapping that a YAML file holds.

    Raises:
        YamlFileError: it is not there, not YAML or no mapping.
    """
    try:
        data = load_yaml(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise YamlFileError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise YamlFileError(f"{path}: not UTF-8 (save it as UTF-8)") from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f":{mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or str(error)
        raise YamlFileError(f"{path}{where}: not YAML: {problem}") from error
    if not isinstance(data, dict):
        raise YamlFileError(f"{path}: not a mapping (write `field: value` lines)")
    return data


def override(data: dict[str, Any], settings: Sequence[str]) -> dict[str, Any]:
    """``data`` with ``key.inner=value`` applied; list items by index or by their ``name``.

    Raises:
        YamlFileError: no ``=``, a value that is not YAML, or a list item that is not there.
    """
    for setting in settings:
        dotted, equals, text = setting.partition("=")
        if not equals or not dotted:
            raise YamlFileError(f"--set {setting}: write it as key.inner=value")
        try:
            value = load_yaml(text)
        except yaml.YAMLError as error:
            raise YamlFileError(f"--set {setting}: the value is not YAML") from error
        *parents, last = dotted.split(".")
        inner: Any = data
        for key in parents:
            inner = _step(inner, key, setting)
        if isinstance(inner, list):
            inner[_index(inner, last, setting)] = value
        else:
            inner[last] = value
    return data


def validated(kind: type[Spec], data: Mapping[str, Any], path: Path) -> Spec:
    """``data`` as a ``kind``.

    Raises:
        YamlFileError: has a line for each of the first wrong fields.
    """
    try:
        return kind.model_validate(data)
    except ValidationError as error:
        details = error.errors(include_url=False)
    lines = []
    for item in details[:MAX_ERRORS]:
        place = ".".join(str(part) for part in item["loc"])
        problem, remedy = _explain(kind, item["loc"], item["type"], item["msg"])
        lines.append(f"{path}: {place + ': ' if place else ''}{problem} ({remedy})")
    if len(details) > MAX_ERRORS:
        lines.append(f"{path}: and {len(details) - MAX_ERRORS} more")
    raise YamlFileError("\n".join(lines))


def _step(inner: Any, key: str, setting: str) -> Any:
    if isinstance(inner, list):
        return inner[_index(inner, key, setting)]
    if not isinstance(inner.get(key), dict | list):
        inner[key] = {}
    return inner[key]


def _index(items: list[Any], key: str, setting: str) -> int:
    for index, item in enumerate(items):
        if key == str(index) or (isinstance(item, dict) and item.get("name") == key):
            return index
    names = [str(item.get("name")) for item in items if isinstance(item, dict)]
    raise YamlFileError(f"--set {setting}: no item `{key}` (there are {', '.join(names)})")


def _explain(
    kind: type[BaseModel], location: tuple[str | int, ...], code: str, message: str
) -> tuple[str, str]:
    fields, description = _around(kind, location)
    if code == "extra_forbidden":
        close = difflib.get_close_matches(str(location[-1]), fields, n=1)
        remedy = f"did you mean `{close[0]}`?" if close else f"there are {', '.join(fields)}"
        return "no such field", remedy
    if code == "missing":
        return "is missing", f"add it; {description}" if description else "add it"
    problem = message.removeprefix("Value error, ").replace("Input should be", "should be")
    return problem, f"change it; {description}" if description else "change it"


def _around(kind: Any, location: tuple[str | int, ...]) -> tuple[list[str], str]:
    """Names of the fields at ``location``, and the description of the field itself."""
    names: list[str] = []
    description = ""
    for key in location:
        kind = _plain(kind)
        if isinstance(key, int):
            kind = (get_args(kind) or (None,))[0]
        elif isinstance(kind, type) and issubclass(kind, BaseModel):
            named = {field.alias or name: field for name, field in kind.model_fields.items()}
            names = list(named)
            if key not in named:
                return names, ""
            description = named[key].description or ""
            kind = named[key].annotation
        else:
            return names, description
    return names, description


def _plain(kind: Any) -> Any:
    """The type inside ``X | None`` and ``Annotated[X, …]``."""
    while get_origin(kind) in (types.UnionType, Annotated):
        kind = next(part for part in get_args(kind) if part is not type(None))
    return kind
