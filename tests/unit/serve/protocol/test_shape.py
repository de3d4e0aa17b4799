import pytest

from serve.errors import InvalidRequest
from serve.protocol.shape import MAX_RANK, check_shape


@pytest.mark.parametrize(
    ("shape", "count"), [((), 1), ((0,), 0), ((1, 30), 30), ((2, 0, 3), 0), ((1,) * MAX_RANK, 1)]
)
def test_check_shape_counts_elements(shape, count):
    assert check_shape("x", shape) == count


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((-1, 3), "'x': shape [-1,3] has a negative dimension"),
        ((1,) * (MAX_RANK + 1), "'x': shape has 33 dimensions, at most 32"),
        ((2**32, 2**32), "'x': shape [4294967296,4294967296] has more than"),
        ((0, 2**62), "has more than"),
        ((10**5000,), "shape [an integer beyond 64 bits] has more than"),
    ],
)
def test_check_shape_refuses(shape, message):
    with pytest.raises(InvalidRequest) as error:
        check_shape("x", shape)
    assert message in str(error.value)
