"""The choice of a graph, padding and slicing, with graphs that are computed on the CPU."""

from __future__ import annotations

from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")

from serve.backends.cuda_graphs import Captured, GraphRun, graph_sizes  # noqa: E402


def graphs(*sizes: int) -> tuple[GraphRun, list[str]]:
    ran: list[str] = []

    def captured(size: int) -> Captured:
        static, output = torch.full((size, 2), -1.0), torch.empty(size, 2)

        def replay() -> None:
            ran.append(f"graph {size}")
            assert (static != -1).all(), "padded with what was never a row"
            output.copy_(static * 2)

        return Captured([static], [output], replay)

    def plain(tensors: list[Any]) -> list[Any]:
        ran.append("plain")
        return [tensors[0] * 2]

    return GraphRun({size: captured(size) for size in sizes}, plain), ran


@pytest.mark.parametrize(
    ("rows", "way"), [(1, "graph 1"), (2, "graph 8"), (8, "graph 8"), (9, "plain"), (0, "plain")]
)
def test_batch_runs_in_the_smallest_graph_that_it_fits(rows: int, way: str) -> None:
    run, ran = graphs(8, 1)
    x = torch.arange(rows * 2, dtype=torch.float32).reshape(rows, 2)
    (output,) = run([x])
    assert ran == [way]
    assert torch.equal(output, x * 2)


def test_answers_outlive_the_next_replay() -> None:
    run, _ = graphs(4)
    (first,) = run([torch.ones(4, 2)])
    run([torch.zeros(4, 2)])
    assert torch.equal(first, torch.full((4, 2), 2.0))


@pytest.mark.parametrize(
    ("setting", "preferred", "limit", "sizes"),
    [
        ("", (), 12, [1, 2, 4, 8, 12]),
        ("", (), 1, [1]),
        ("", (), None, [1, 2, 4, 8, 16, 32, 64, 128]),
        ("", (4, 64), 32, [4]),
        ("8,1", (4,), 32, [1, 8]),
        ("off", (4,), 32, []),
    ],
)
def test_sizes_follow_the_settings(
    setting: str, preferred: tuple[int, ...], limit: int | None, sizes: list[int]
) -> None:
    assert graph_sizes(setting, preferred, limit) == sizes


@pytest.mark.parametrize("setting", ["on", "0,1", "64"])
def test_sizes_refuse_what_is_none(setting: str) -> None:
    with pytest.raises(ValueError):
        graph_sizes(setting, (), 32)
