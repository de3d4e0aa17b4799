from __future__ import annotations

import numpy as np
import onnxruntime
import pytest

from optimize.distil.prepare import Prepare, fit, fit_image
from optimize.distil.prepared_graph import prepared_graph
from optimize.errors import OptimizeError
from optimize.rows import Input
from serve.tensors import Array

RNG = np.random.default_rng(3)
INPUTS = (
    Input("age", "FP32", (-1, 1)),
    Input("pair", "FP64", (-1, 2)),
    Input("city", "BYTES", (-1, 1)),
    Input("count", "INT64", (-1,)),
    Input("kind", "BYTES", (-1, 1)),
)


def rows(count: int = 200) -> dict[str, Array]:
    age = RNG.normal(40, 9, (count, 1)).astype(np.float32)
    age[::7] = np.nan
    words = np.array([b"K\xc3\xb6ln", b"Paris", b""], object)
    return {
        "age": age,
        "pair": RNG.lognormal(0, 2, (count, 2)),
        "city": RNG.choice(words, (count, 1)),
        "count": RNG.integers(0, 4, count),
        "kind": RNG.choice(words[:2], (count, 1)),
    }


def hostile() -> dict[str, Array]:
    """Gaps, infinities, the largest numbers, and words never seen, a row each."""
    numbers = np.array([np.nan, np.inf, -np.inf, 3.4e38, -3.4e38, 0.0])
    count = len(numbers)
    return {
        "age": numbers[:, None].astype(np.float32),
        "pair": np.stack([numbers, numbers[::-1]], axis=1),
        "city": np.array([b"", b"Paris", b"?", b"\xff", b"paris", b"x" * 99], object)[:, None],
        "count": np.array([-(2**62), 2**62, 0, 1, 2, 3]),
        "kind": np.array([b""] * count, object)[:, None],
    }


def by_graph(prepare: Prepare, arrays: dict[str, Array], inputs: tuple[Input, ...]) -> Array:
    graph = prepared_graph(prepare, inputs, 18)
    session = onnxruntime.InferenceSession(
        graph.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    feed = {
        name: np.array([item.decode("latin") for item in array.ravel()], object).reshape(
            array.shape
        )
        if array.dtype == object
        else array
        for name, array in arrays.items()
    }
    return session.run(None, feed)[0]


@pytest.mark.parametrize("bins", [1, 8])
def test_graph_prepares_as_training_does(bins: int) -> None:
    arrays = rows()
    arrays["city"][arrays["city"] == b"K\xc3\xb6ln"] = b"Berlin"  # the feed above is in Latin-1
    arrays["kind"][arrays["kind"] == b"K\xc3\xb6ln"] = b"Berlin"
    prepare = fit(INPUTS, arrays, bins)
    for some in (arrays, hostile()):
        expected = prepare(some)
        np.testing.assert_array_equal(by_graph(prepare, some, INPUTS), expected)
        assert expected.shape == (len(some["age"]), prepare.width)
        assert expected.min() >= 0 and expected.max() <= 1


def test_a_number_becomes_the_shares_of_the_intervals_below_it() -> None:
    arrays = {"x": np.arange(5, dtype=np.float32)[:, None]}
    prepare = fit((Input("x", "FP32", (-1, 1)),), arrays, 2)
    assert prepare({"x": np.array([[1.0], [3.0]], np.float32)}).tolist() == [[0.5, 0], [1, 0.5]]


def test_a_gap_is_marked_only_where_there_were_gaps() -> None:
    prepare = fit(INPUTS, rows(), 4)
    assert prepare.gaps.tolist() == [0]


def test_a_word_of_one_column_is_none_of_another() -> None:
    inputs = (Input("a", "BYTES", (-1, 1)), Input("b", "BYTES", (-1, 1)))
    seen = {"a": np.array([[b"x"], [b"y"]], object), "b": np.array([[b"z"], [b"z"]], object)}
    prepare = fit(inputs, seen, 4)
    asked = {"a": np.array([[b"z"]], object), "b": np.array([[b"x"]], object)}
    assert prepare(asked).tolist() == [[0, 0, 0]]
    np.testing.assert_array_equal(by_graph(prepare, asked, inputs), prepare(asked))


def test_fit_image_keeps_every_pixel_in_its_place() -> None:
    inputs = (Input("image", "FP32", (-1, 4)),)
    arrays = {"image": np.array([[0, 16, 0, 8], [0, 4, 0, 0]], np.float32)}
    prepare = fit_image(inputs, arrays)
    assert prepare(arrays)[0].tolist() == [0, 1, 0, 0.5]
    np.testing.assert_array_equal(by_graph(prepare, arrays, inputs), prepare(arrays))


def test_fit_image_refuses_words() -> None:
    with pytest.raises(OptimizeError, match="'city' is of words"):
        fit_image(INPUTS, rows())
