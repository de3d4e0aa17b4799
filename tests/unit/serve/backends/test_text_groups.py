from __future__ import annotations

import numpy as np
import pytest

from serve.backends.text_groups import RUN_TOKENS, groups_of_lengths


@pytest.mark.parametrize(
    ("lengths", "groups"),
    [
        ([7], 1),
        ([16] * 128, 1),
        ([15, 16, 17, 16], 1),
        ([256, *[16] * 31], 2),
        ([16, 16, 128, 128, 512, 512], 3),
    ],
)
def test_batch_is_cut_where_padding_would_cost_more_than_a_run(
    lengths: list[int], groups: int
) -> None:
    assert len(groups_of_lengths(lengths)) == groups


def test_every_row_is_in_one_group_and_padding_never_grows() -> None:
    rng = np.random.default_rng(0)
    for _ in range(200):
        lengths = rng.geometric(0.03, rng.integers(1, 129)).tolist()
        groups = groups_of_lengths(lengths)
        assert sorted(np.concatenate(groups)) == list(range(len(lengths)))
        run = sum(len(rows) * max(lengths[row] for row in rows) for rows in groups)
        assert run + (len(groups) - 1) * RUN_TOKENS <= len(lengths) * max(lengths)
