"""An inference request's JSON as typed structs, decoded and type-checked in one pass.

Each datatype has an input struct of its own, told apart by the ``datatype`` key, so that ``data``
is checked element by element while it is parsed: nothing is parsed twice and nothing untyped
reaches Python. ``data`` may be nested as deep as a shape can be, and ``null`` stands anywhere.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, ClassVar, Union

import msgspec
from msgspec import UNSET, UnsetType

from serve.errors import InvalidRequest
from serve.protocol.quoting import quoted
from serve.protocol.shape import MAX_RANK
from serve.tensors import DATATYPES

__all__ = [
    "InputMessage",
    "OutputMessage",
    "RequestMessage",
    "element_type",
    "parse_request",
    "parse_small",
]

MAX_INPUTS = 4096
"""More inputs than any model has; tiny inputs by the million would cost seconds to decode."""

_SMALL_BODY_BYTES = 65536
_NOT_UTF8 = "Invalid UTF-8"
"""Begins what msgspec 0.23 says in a DecodeError; those before it raise UnicodeDecodeError."""
_DATATYPE_KEY = re.compile(rb'"datatype"\s*:')


class InputMessage(msgspec.Struct, gc=False):
    """One of ``inputs``; in effect always of a subclass that knows the type of ``data``."""

    datatype: ClassVar[str]

    name: str
    shape: tuple[int, ...]
    parameters: dict[str, Any] | None = None
    data: Any = UNSET


class OutputMessage(msgspec.Struct, gc=False):
    """One of ``outputs``."""

    name: str
    parameters: dict[str, Any] | None = None


class RequestMessage(msgspec.Struct, gc=False):
    """The whole request. Keys that are not named here are tolerated, as the protocol asks."""

    inputs: list[Any]
    id: str | None = None
    parameters: dict[str, Any] | None = None
    outputs: list[OutputMessage] | None = None


def element_type(datatype: str) -> Any:
    """What an element of ``data`` is parsed as, where it is not null."""
    if datatype == "BOOL":
        return bool
    if datatype == "BYTES":
        return str
    if datatype.startswith("FP"):
        return float
    # A float is let through here only to be refused with a better message than a parser has.
    return int | float


def _data_type(datatype: str) -> Any:
    if datatype in ("FP16", "BF16"):
        return msgspec.Raw  # refused whatever it holds: these have no JSON form
    element: Any = element_type(datatype) | None
    data: Any = list.__class_getitem__(element)
    for _ in range(MAX_RANK - 1):
        data = list.__class_getitem__(element | data)
    return data


def _input_type(datatype: str) -> type[InputMessage]:
    return msgspec.defstruct(  # type: ignore[return-value]
        f"{datatype}Input",
        [("data", _data_type(datatype) | UnsetType, UNSET)],
        bases=(InputMessage,),
        namespace={"datatype": datatype},
        tag_field="datatype",
        tag=datatype,
        gc=False,
    )


_Request = msgspec.defstruct(
    "Request",
    [("inputs", list[Union[tuple(_input_type(name) for name in DATATYPES)]])],  # type: ignore[misc] # noqa: UP007
    bases=(RequestMessage,),
    gc=False,
)
_decode = msgspec.json.Decoder(_Request).decode

parse_small: Callable[[bytes | bytearray | memoryview], RequestMessage] = _decode  # type: ignore[assignment]
"""``parse_request`` without its errors, for a small body; where it raises, that says why."""


def parse_request(body: bytes | bytearray | memoryview) -> RequestMessage:
    """Decode the JSON of a request; every field has its type, none is checked for sense.

    Raises:
        InvalidRequest: malformed JSON, or a value of a wrong type; the message has its path.
    """
    if len(body) > _SMALL_BODY_BYTES:
        _refuse_too_many_inputs(body)
    try:
        return _decode(body)  # type: ignore[return-value]
    except RecursionError:
        raise InvalidRequest("the JSON is nested too deep") from None
    except UnicodeError:
        raise InvalidRequest("the JSON is not valid UTF-8") from None
    except msgspec.ValidationError as error:
        raise InvalidRequest(_explain_type(str(error))) from None
    except msgspec.DecodeError as error:
        raise InvalidRequest(_explain_syntax(str(error), body)) from None


def _refuse_too_many_inputs(body: bytes | bytearray | memoryview) -> None:
    text = bytes(body) if isinstance(body, memoryview) else body
    # The first count is quick, the second exact: only a key has a colon after it, because the
    # quotes inside a JSON string are escaped.
    if text.count(b'"datatype"') > MAX_INPUTS and len(_DATATYPE_KEY.findall(text)) > MAX_INPUTS:
        raise InvalidRequest(f"inputs: more than {MAX_INPUTS} inputs")


def _explain_type(message: str) -> str:
    problem, _, path = message.rpartition(" - at `$")
    path = path.rstrip("`").lstrip(".")
    if not problem:
        problem, path = message, "the request"
    problem = problem.replace("`", "").replace("int | float", "int")
    if problem.startswith("Invalid value") and path.endswith("datatype"):
        value = problem.removeprefix("Invalid value ").strip("'")
        names = ", ".join(sorted(DATATYPES))
        problem = f"unknown datatype {quoted(value)}, use one of {names}"
    else:
        problem = problem[:1].lower() + problem[1:]
    return f"{path}: {problem}"


def _explain_syntax(message: str, body: bytes | bytearray | memoryview) -> str:
    if message.startswith(_NOT_UTF8):
        return "the JSON is not valid UTF-8"
    place = re.search(r"\(byte (\d+)\)", message)
    if place is not None:
        start = int(place[1])
        token = bytes(body[max(start - 1, 0) : start + 1])
        if token[-1:] in (b"N", b"I") or token == b"-I":
            return (
                f"the JSON is malformed at byte {start}: NaN and Infinity are not JSON, "
                "send null for a missing value or the tensor as binary data"
            )
    return f"the JSON is malformed: {message.removeprefix('JSON is malformed: ')}"
