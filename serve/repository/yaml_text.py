"""YAML as ``model.yaml`` uses it: strict where the common loader guesses.

PyYAML's SafeLoader follows YAML 1.1 and takes the last of two equal keys. Here scalars follow
YAML 1.2 (``NO`` is a string, ``1e-3`` a number, ``010`` ten, dates are text), an equal key is an
error, and aliases cannot make a small file large.
"""

from __future__ import annotations

import math
import re
from typing import Any

import yaml

__all__ = ["load_yaml"]

MAX_NODES = 50_000
"""Most values in a document, also once its aliases are written out; about a second's work."""

INT = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
FLOAT = re.compile(
    r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?"
    r"|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)"
)


class _Loader(yaml.SafeLoader):
    """SafeLoader with the types of YAML 1.2's core schema, and no second of any key."""

    yaml_implicit_resolvers = {}
    yaml_constructors = {
        tag: constructor
        for tag, constructor in yaml.SafeLoader.yaml_constructors.items()
        # None is the one for unknown tags: it raises.
        if tag is None or tag.removeprefix("tag:yaml.org,2002:") in ("null", "str", "seq", "map")
    }

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._composed = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        # Counted here too, because to read on through a long file is what takes the time.
        self._composed += 1
        node = super().compose_node(parent, index)
        if node is not None and self._composed > MAX_NODES:
            raise _error(node, f"more than {MAX_NODES} values")
        return node

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        # Before merge keys are flattened: to override a merged value is what they are for.
        for key, _ in node.value if isinstance(node, yaml.MappingNode) else ():
            if isinstance(key, yaml.ScalarNode):
                identity = (key.tag, key.value)
                if identity in seen:
                    raise _error(key, f"the key `{key.value[:64]}` appears twice")
                seen.add(identity)
        return super().construct_mapping(node, deep)


def _error(node: yaml.Node, problem: str) -> yaml.MarkedYAMLError:
    return yaml.MarkedYAMLError(problem=problem, problem_mark=node.start_mark)


def _construct_int(loader: _Loader, node: yaml.ScalarNode) -> int:
    text = str(loader.construct_scalar(node))
    base = {"0x": 16, "0o": 8}.get(text[:2], 10)
    try:
        return int(text[2:] if base != 10 else text, base)
    except ValueError:
        raise _error(node, "not an integer, or one of too many digits") from None


def _construct_float(loader: _Loader, node: yaml.ScalarNode) -> float:
    text = str(loader.construct_scalar(node)).lower()
    if text == ".nan":
        return math.nan
    try:
        return float(text.replace(".inf", "inf"))
    except ValueError:
        raise _error(node, "not a number") from None


def _construct_bool(loader: _Loader, node: yaml.ScalarNode) -> bool:
    text = str(loader.construct_scalar(node)).lower()
    if text not in ("true", "false"):
        raise _error(node, "not `true` or `false`")
    return text == "true"


def _whole(pattern: str) -> re.Pattern[str]:
    return re.compile(rf"(?:{pattern})\Z")


_RESOLVERS = (
    ("null", r"~|null|Null|NULL|", [*"~nN", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    ("int", INT.pattern, list("-+0123456789")),
    ("float", FLOAT.pattern, list("-+.0123456789")),
    ("merge", r"<<", ["<"]),
)
for _tag, _pattern, _first in _RESOLVERS:
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", _whole(_pattern), _first)
_Loader.add_constructor("tag:yaml.org,2002:int", _construct_int)
_Loader.add_constructor("tag:yaml.org,2002:float", _construct_float)
_Loader.add_constructor("tag:yaml.org,2002:bool", _construct_bool)


def _is_text(value: str) -> bool:
    """False for what an escape like ``\\ud800`` makes: no message could ever show it."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _count(node: yaml.Node, counts: dict[yaml.Node, int]) -> int:
    """Values under ``node`` with aliases written out; each node is visited once."""
    known = counts.get(node)
    if known == 0:
        raise _error(node, "an alias inside the value it stands for")
    if known is not None:
        return known
    counts[node] = 0  # being counted: met again, it contains itself
    total = 1
    if isinstance(node, yaml.ScalarNode) and not _is_text(node.value):
        raise _error(node, "half of a surrogate pair, which is no character")
    if isinstance(node, yaml.CollectionNode):
        for item in node.value:
            for child in item if isinstance(item, tuple) else (item,):
                total += _count(child, counts)
    if total > MAX_NODES:
        raise _error(node, f"more than {MAX_NODES} values")
    counts[node] = total
    return total


def load_yaml(text: str) -> Any:
    """The one document in ``text`` as plain Python values; None if it is empty.

    Raises:
        yaml.MarkedYAMLError: with the place of the fault where there is one.
        yaml.YAMLError: what is not text that YAML allows.
    """
    try:
        loader = _Loader(text)
        try:
            node = loader.get_single_node()
            if node is None:
                return None
            _count(node, {})
            return loader.construct_document(node)
        finally:
            loader.dispose()
    except RecursionError:
        raise yaml.YAMLError("nested too deeply") from None
