"""What Locust's users send."""

import math

import orjson
import pytest

from benchmarks.locust.journeys import Journeys


@pytest.mark.parametrize("model", ["fraud", "digits"])
def test_requests_vary_and_are_the_same_for_the_same_seed(model):
    first, again = Journeys(seed=1), Journeys(seed=1)
    bodies = [first.body(model) for _ in range(5)]

    assert len(set(bodies)) > 1
    assert [again.body(model) for _ in range(5)] == bodies


def test_message_has_the_same_tensors_as_the_body_less_the_gaps():
    request = orjson.loads(Journeys(seed=1).body("fraud"))
    message = Journeys(seed=1).message("fraud")
    whole = [tensor for tensor in request["inputs"] if None not in tensor["data"]]

    assert [tensor.name for tensor in message.inputs] == [tensor["name"] for tensor in whole]
    assert len(message.raw_input_contents) == len(whole) < len(request["inputs"])


@pytest.mark.parametrize(
    ("model", "output", "value", "good"),
    [
        ("fraud", "probability", 0.5, True),
        ("fraud", "probability", 1.5, False),
        ("fraud", "probability", math.nan, False),
        ("digits", "digit", 9, True),
        ("digits", "digit", 10, False),
    ],
)
def test_wrong_tells_answers_that_make_no_sense(model, output, value, good):
    answer = {"outputs": [{"name": output, "data": [value]}]}

    assert (Journeys().wrong(model, answer) == "") is good
