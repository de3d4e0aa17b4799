from __future__ import annotations

from optimize.sensitivity import Sensitivity, most_sensitive

MEASURED = [Sensitivity((f"layer{index}",), error) for index, error in enumerate((0.1, 0.5, 0.2))]


def kept(share: float) -> list[str]:
    return [name for each in most_sensitive(MEASURED, share) if each.kept for name in each.layers]


def test_most_sensitive_is_a_share_of_the_layers_and_at_least_one() -> None:
    assert kept(0.01) == ["layer1"]
    assert kept(0.34) == ["layer1"]
    assert kept(0.67) == ["layer1", "layer2"]


def test_most_sensitive_counts_the_layers_of_a_group() -> None:
    groups = [Sensitivity(("a", "b"), 0.3), Sensitivity(("c",), 0.2), Sensitivity(("d",), 0.1)]
    assert [each.kept for each in most_sensitive(groups, 0.75)] == [True, True, False]
