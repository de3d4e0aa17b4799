import pytest

from serve.errors import InvalidRequest, Unsupported
from serve.protocol.parameters import (
    check_parameters,
    check_request_parameters,
    check_tensor_parameters,
    classification,
)


def test_check_parameters_returns_what_it_was_given():
    parameters = {"s": "a", "i": -(2**63), "u": 2**64 - 1, "f": 0.5, "b": True}
    assert check_parameters("", parameters) is parameters


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (None, "parameters.'k' must be a string, a number or true/false"),
        ([1], "parameters.'k' must be a string"),
        ({}, "parameters.'k' must be a string"),
        (2**64, "parameters.'k' does not fit in 64 bits"),
        (-(2**63) - 1, "parameters.'k' does not fit in 64 bits"),
    ],
)
def test_check_parameters_refuses(value, message):
    with pytest.raises(InvalidRequest) as error:
        check_parameters("inputs[0] 'x'", {"k": value})
    assert str(error.value).startswith("inputs[0] 'x' parameters.")
    assert message in str(error.value)


def test_request_parameters_refuse_the_reserved_prefix():
    with pytest.raises(InvalidRequest, match="'triton_secret': names that start with 'triton_'"):
        check_request_parameters({"triton_secret": 1})


def test_request_parameters_allow_the_reserved_name_that_clients_send():
    check_request_parameters({"triton_enable_empty_final_response": True})


def test_tensor_parameters_refuse_shared_memory():
    with pytest.raises(Unsupported, match="shared memory is not supported, send the tensor"):
        check_tensor_parameters("inputs[0] 'x'", {"shared_memory_region": "r"})


def test_classification_is_zero_when_absent():
    assert classification("outputs[0] 'y'", {}) == 0
    assert classification("outputs[0] 'y'", {"classification": 3}) == 3


@pytest.mark.parametrize("k", [0, -1, True, 1.0, "3"])
def test_classification_refuses_what_is_not_a_positive_integer(k):
    with pytest.raises(InvalidRequest, match="classification must be an integer above 0"):
        classification("outputs[0] 'y'", {"classification": k})
