"""Parameters of a request and of its tensors: what both codecs check, and none interprets."""

from __future__ import annotations

from collections.abc import Mapping

from serve.errors import InvalidRequest, Unsupported
from serve.protocol.quoting import quoted
from serve.tensors import Parameter

__all__ = [
    "check_parameters",
    "check_request_parameters",
    "check_tensor_parameters",
    "classification",
]

RESERVED_PREFIX = "triton_"
ALLOWED_RESERVED = frozenset({"triton_enable_empty_final_response"})
SHARED_MEMORY_PREFIX = "shared_memory_"
_PLAIN = frozenset({bool, str, float})
_MIN_INT = -(2**63)
_MAX_INT = 2**64 - 1


def check_parameters(where: str, parameters: Mapping[str, object]) -> Mapping[str, Parameter]:
    """The same mapping, once every value is known to be a string, number or bool.

    ``where`` is the path of the mapping's owner in the request, "" for the request itself.
    """
    for key, value in parameters.items():
        if type(value) in _PLAIN:
            continue
        path = f"{where} parameters.{quoted(key)}" if where else f"parameters.{quoted(key)}"
        if not isinstance(value, int):
            raise InvalidRequest(f"{path} must be a string, a number or true/false")
        if not _MIN_INT <= value <= _MAX_INT:
            raise InvalidRequest(f"{path} does not fit in 64 bits")
    return parameters  # type: ignore[return-value]


def check_request_parameters(parameters: Mapping[str, object]) -> Mapping[str, Parameter]:
    """The request's own parameters, none of them under a reserved name."""
    for key in parameters:
        if key.startswith(RESERVED_PREFIX) and key not in ALLOWED_RESERVED:
            raise InvalidRequest(
                f"parameters.{quoted(key)}: names that start with {RESERVED_PREFIX!r} are reserved"
            )
    return check_parameters("", parameters)


def check_tensor_parameters(
    where: str, parameters: Mapping[str, object]
) -> Mapping[str, Parameter]:
    """Parameters of an input or a requested output.

    Raises:
        InvalidRequest: a value is of a wrong type.
        Unsupported: the tensor lies in shared memory, which this server does not map.
    """
    for key in parameters:
        if key.startswith(SHARED_MEMORY_PREFIX):
            raise Unsupported(
                f"{where} parameters.{quoted(key)}: shared memory is not supported, "
                "send the tensor in the request"
            )
    return check_parameters(where, parameters)


def classification(where: str, parameters: Mapping[str, Parameter]) -> int:
    """K of a requested output's ``classification`` parameter; 0 if there is none."""
    if "classification" not in parameters:
        return 0
    k = parameters["classification"]
    if isinstance(k, bool) or not isinstance(k, int) or k < 1:
        raise InvalidRequest(f"{where} parameters.classification must be an integer above 0")
    return k
