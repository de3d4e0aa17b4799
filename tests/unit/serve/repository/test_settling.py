"""What counts is what two looks in a row have seen alike."""

from __future__ import annotations

from serve.repository.prints import ModelPrint
from serve.repository.settling import Change, Settling


def model(settings: int = 0, **versions: int) -> ModelPrint:
    """``model(v1=10)``: version 1 of 10 bytes, with settings of so many."""
    return ModelPrint(
        (("model.yaml", settings, 0, 1),),
        {int(name[1:]): (("model.onnx", size, 0, 1),) for name, size in versions.items()},
    )


def test_nothing_changes_while_nothing_changes() -> None:
    settling = Settling({"m": model(v1=10)})
    assert settling.look({"m": model(v1=10)}) == []
    assert settling.look({"m": model(v1=10)}) == []


def test_new_model_counts_at_the_second_look() -> None:
    settling = Settling({})
    assert settling.look({"m": model(v1=10)}) == []
    assert settling.look({"m": model(v1=10)}) == [Change("m", model(v1=10))]
    assert settling.look({"m": model(v1=10)}) == []


def test_version_that_grows_is_not_looked_at() -> None:
    settling = Settling({"m": model(v1=10)})
    for size in (1, 2, 3):
        assert settling.look({"m": model(v1=10, v2=size)}) == []
    assert settling.look({"m": model(v1=10, v2=3)}) == [Change("m", model(v1=10, v2=3))]


def test_settings_change_while_another_version_grows() -> None:
    settling = Settling({"m": model(v1=10)})
    assert settling.look({"m": model(settings=5, v1=10, v2=1)}) == []
    hides = Change("m", model(settings=5, v1=10), frozenset({2}))
    assert settling.look({"m": model(settings=5, v1=10, v2=2)}) == [hides]
    assert settling.look({"m": model(settings=5, v1=10, v2=3)}) == []
    all_of_it = Change("m", model(settings=5, v1=10, v2=3))
    assert settling.look({"m": model(settings=5, v1=10, v2=3)}) == [all_of_it]


def test_settings_that_change_wait() -> None:
    settling = Settling({"m": model(settings=1, v1=10)})
    assert settling.look({"m": model(settings=2, v1=10)}) == []
    assert settling.look({"m": model(settings=3, v1=10)}) == []
    assert len(settling.look({"m": model(settings=3, v1=10)})) == 1


def test_nothing_is_concluded_while_what_is_served_is_written_over() -> None:
    settling = Settling({"m": model(v1=10)})
    assert settling.look({"m": model(v1=2, v2=5)}) == []
    assert settling.look({"m": model(v1=4, v2=5)}) == []
    assert settling.look({"m": model(v1=4, v2=5)}) == [Change("m", model(v1=4, v2=5))]


def test_model_is_gone_at_the_second_look() -> None:
    settling = Settling({"m": model(v1=10)})
    assert settling.look({}) == []
    assert settling.look({}) == [Change("m", None)]
    assert settling.look({}) == []


def test_model_that_is_replaced_is_never_gone() -> None:
    settling = Settling({"m": model(v1=10)})
    assert settling.look({}) == []
    assert settling.look({"m": model(v1=11)}) == []
    assert settling.look({"m": model(v1=11)}) == [Change("m", model(v1=11))]


def test_version_is_gone_at_the_second_look() -> None:
    settling = Settling({"m": model(v1=10, v2=10)})
    assert settling.look({"m": model(v1=10)}) == []
    assert settling.look({"m": model(v1=10)}) == [Change("m", model(v1=10))]


def test_first_version_of_a_model_is_waited_for() -> None:
    settling = Settling({})
    assert settling.look({"m": model()}) == []
    assert settling.look({"m": model(v1=1)}) == []
    assert settling.look({"m": model(v1=2)}) == []
    assert settling.look({"m": model(v1=2)}) == [Change("m", model(v1=2))]


def test_what_changed_since_the_start_was_read_is_followed() -> None:
    settling = Settling({"m": model(v1=5)})
    assert settling.look({"m": model(v1=10)}) == []
    assert settling.look({"m": model(v1=10)}) == [Change("m", model(v1=10))]
