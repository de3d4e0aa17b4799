from __future__ import annotations

import pytest

from serve.errors import InvalidRequest, NotFound, NotReady
from serve.repository.table import ModelState, ModelTable


@pytest.fixture
def table() -> ModelTable[str]:
    """``fraud`` 1 and 3 ready, 10 loading, 4 failed; ``broken`` as a whole."""
    table: ModelTable[str] = ModelTable()
    table.set_ready("fraud", 3, "three")
    table.set_ready("fraud", 1, "one")
    table.set_loading("fraud", 10)
    table.set_unavailable("fraud", 4, "bad file")
    table.set_unavailable("broken", 0, "model.yaml: owner: wrong")
    return table


@pytest.mark.parametrize(("version", "handle"), [("", "three"), ("1", "one"), ("3", "three")])
def test_resolve_gives_handle(table: ModelTable[str], version: str, handle: str) -> None:
    assert table.resolve("fraud", version) == handle


def test_resolve_compares_versions_as_numbers(table: ModelTable[str]) -> None:
    table.set_ready("fraud", 10, "ten")
    assert table.resolve("fraud", "") == "ten"


@pytest.mark.parametrize(
    ("name", "version", "kind", "message"),
    [
        ("gone", "", NotFound, "Request for unknown model: 'gone' is not found"),
        ("gone", "1", NotFound, "Request for unknown model: 'gone' is not found"),
        ("fraud", "2", NotFound, "Request for unknown model: 'fraud' version 2 is not found"),
        ("fraud", "10", NotReady, "Model 'fraud' version 10 is not ready: LOADING"),
        ("fraud", "4", NotReady, "Model 'fraud' version 4 is not ready: UNAVAILABLE, bad file"),
        ("broken", "", NotReady,
         "Model 'broken' is not ready: UNAVAILABLE, model.yaml: owner: wrong"),
        ("broken", "1", NotReady,
         "Model 'broken' version 1 is not ready: UNAVAILABLE, model.yaml: owner: wrong"),
    ],
)  # fmt: skip
def test_resolve_says_why_not(
    table: ModelTable[str], name: str, version: str, kind: type[Exception], message: str
) -> None:
    with pytest.raises(kind) as caught:
        table.resolve(name, version)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    "version", ["01", "0", "-1", "1.0", "é", " 1", "a b", "a" * 65, "1\n", "١", "9" * 40]
)
def test_resolve_refuses_what_is_no_version(table: ModelTable[str], version: str) -> None:
    with pytest.raises(InvalidRequest, match="from 1 without leading zeros"):
        table.resolve("fraud", version)


def test_resolve_shortens_hostile_names(table: ModelTable[str]) -> None:
    for name, version in (("x" * 100_000, ""), ("a\nb", ""), ("fraud", "y" * 100_000)):
        with pytest.raises((NotFound, InvalidRequest)) as caught:
            table.resolve(name, version)
        assert len(str(caught.value)) < 300
        assert "\n" not in str(caught.value)


def test_resolve_says_the_state_of_each_version_when_none_is_ready() -> None:
    table: ModelTable[str] = ModelTable()
    table.set_loading("fraud", 2)
    table.set_unavailable("fraud", 1, "bad")
    with pytest.raises(NotReady, match="version 1 is UNAVAILABLE, bad; version 2 is LOADING"):
        table.resolve("fraud", "")


def test_set_ready_swaps_handle_and_returns_the_old_one(table: ModelTable[str]) -> None:
    assert table.set_ready("fraud", 3, "again") == "three"
    assert table.resolve("fraud", "") == "again"
    assert table.set_ready("fraud", 4, "new") is None


def test_set_unloading_takes_no_further_requests_and_keeps_handle(table: ModelTable[str]) -> None:
    table.set_unloading("fraud", 3)
    assert table.resolve("fraud", "") == "one"
    with pytest.raises(NotReady, match="UNLOADING"):
        table.resolve("fraud", "3")
    assert list(table.handles()) == ["one", "three"]


def test_set_unavailable_takes_version_out_of_service(table: ModelTable[str]) -> None:
    table.set_unavailable("fraud", 3, "crashed")
    assert table.resolve("fraud", "") == "one"
    assert list(table.handles()) == ["one"]


def test_remove_forgets_version_then_model(table: ModelTable[str]) -> None:
    for version in (10, 4, 3):
        table.remove("fraud", version)
    assert table.resolve("fraud", "") == "one"
    table.remove("fraud", 1)
    table.remove("fraud", 1)
    with pytest.raises(NotFound):
        table.resolve("fraud", "")
    assert table.names() == ["broken"]


def test_version_takes_the_place_of_the_failed_whole(table: ModelTable[str]) -> None:
    table.set_loading("broken", 1)
    assert [row for row in table.index() if row["name"] == "broken"] == [
        {"name": "broken", "version": "1", "state": "LOADING", "reason": ""}
    ]


def test_index_lists_everything_in_order(table: ModelTable[str]) -> None:
    assert table.index() == [
        {"name": "broken", "version": "", "state": "UNAVAILABLE",
         "reason": "model.yaml: owner: wrong"},
        {"name": "fraud", "version": "1", "state": "READY", "reason": ""},
        {"name": "fraud", "version": "3", "state": "READY", "reason": ""},
        {"name": "fraud", "version": "4", "state": "UNAVAILABLE", "reason": "bad file"},
        {"name": "fraud", "version": "10", "state": "LOADING", "reason": ""},
    ]  # fmt: skip
    assert [row["version"] for row in table.index(ready_only=True)] == ["1", "3"]


def test_versions_are_the_ready_ones_ascending(table: ModelTable[str]) -> None:
    table.set_ready("fraud", 10, "ten")
    assert table.versions("fraud") == ["1", "3", "10"]
    assert table.versions("broken") == []
    assert table.versions("gone") == []


def test_ready_means_all_that_should_be_served(table: ModelTable[str]) -> None:
    assert ModelTable[str]().ready()
    assert not table.ready()
    table.set_ready("fraud", 10, "ten")
    table.set_ready("fraud", 4, "four")
    assert not table.ready()
    table.remove("broken", 0)
    assert table.ready()
    table.set_unloading("fraud", 1)
    assert table.ready()


def test_states_are_for_metrics(table: ModelTable[str]) -> None:
    assert table.states()["fraud", "10"] is ModelState.LOADING
    assert table.states()["broken", ""] is ModelState.UNAVAILABLE


# labels


@pytest.fixture
def labelled(table: ModelTable[str]) -> ModelTable[str]:
    table.set_labels("fraud", {"stable": 1, "canary": 3, "next": 10})
    return table


@pytest.mark.parametrize(
    ("version", "handle"), [("stable", "one"), ("canary", "three"), ("", "one"), ("3", "three")]
)
def test_label_stands_for_its_version(labelled: ModelTable[str], version: str, handle: str) -> None:
    assert labelled.resolve("fraud", version) == handle


def test_labels_move_together(labelled: ModelTable[str]) -> None:
    labelled.set_labels("fraud", {"stable": 3})
    assert labelled.resolve("fraud", "") == labelled.resolve("fraud", "stable") == "three"
    with pytest.raises(NotFound):
        labelled.resolve("fraud", "canary")


def test_label_follows_what_replaces_its_version(labelled: ModelTable[str]) -> None:
    labelled.set_ready("fraud", 1, "another")
    assert labelled.resolve("fraud", "stable") == labelled.resolve("fraud", "") == "another"


def test_unknown_label_names_those_there_are(labelled: ModelTable[str]) -> None:
    with pytest.raises(NotFound) as caught:
        labelled.resolve("fraud", "beta")
    assert str(caught.value) == (
        "Model 'fraud' has no label 'beta': its labels are canary (3), next (10), stable (1);"
        " its versions 1, 3"
    )


def test_unknown_label_of_a_model_without_labels(table: ModelTable[str]) -> None:
    with pytest.raises(NotFound, match="its labels are none; its versions 1, 3"):
        table.resolve("fraud", "stable")


def test_label_of_a_version_that_is_not_ready_says_so(labelled: ModelTable[str]) -> None:
    with pytest.raises(NotReady, match="label 'next' is not ready: version 10 is LOADING"):
        labelled.resolve("fraud", "next")


def test_request_without_a_version_goes_to_no_other_than_stable(
    labelled: ModelTable[str],
) -> None:
    labelled.remove("fraud", 1)
    with pytest.raises(NotReady, match="label 'stable' is not ready: version 1 is not served"):
        labelled.resolve("fraud", "")


def test_labels_go_with_their_model(labelled: ModelTable[str]) -> None:
    labelled.remove_model("fraud")
    labelled.set_ready("fraud", 3, "three")
    assert labelled.labels("fraud") == {}
    assert labelled.resolve("fraud", "") == "three"


# model control


def test_models_aside_are_in_the_index_and_not_in_the_metrics(table: ModelTable[str]) -> None:
    table.set_aside({"away": (), "fraud": (), "gone": (2, 4)})
    aside = [(r["name"], r["version"]) for r in table.index() if r["reason"] == "unloaded"]
    assert aside == [("away", ""), ("gone", "2"), ("gone", "4")]
    assert not {"away", "gone"} & {name for name, _ in table.states()}
    assert all(row["name"] == "fraud" for row in table.index(ready_only=True))


def test_model_aside_says_how_to_load_it(table: ModelTable[str]) -> None:
    table.set_aside({"away": ()})
    with pytest.raises(NotReady, match="POST /v2/repository/models/away/load"):
        table.resolve("away", "")


def test_reason_leaves_the_version_as_it_is(table: ModelTable[str]) -> None:
    table.set_reason("fraud", 3, "its change failed")
    assert table.resolve("fraud", "3") == "three"
    assert {"its change failed"} < {row["reason"] for row in table.index()}


def test_keep_only_forgets_other_versions(table: ModelTable[str]) -> None:
    table.keep_only("fraud", {3, 4})
    assert [row["version"] for row in table.index() if row["name"] == "fraud"] == ["3", "4"]
    assert table.resolve("fraud", "") == "three"


def test_front_answers_where_no_version_is_named() -> None:
    table: ModelTable[str] = ModelTable()
    table.set_ready("m", 1, "one")
    table.set_front("m", lambda ready, default: f"front of {sorted(ready)} and {default}")
    assert table.resolve("m", "") == "front of [1] and one"
    table.set_ready("m", 2, "two")
    assert table.resolve("m", "") == "front of [1, 2] and two"
    table.set_labels("m", {"stable": 1})
    assert table.resolve("m", "") == "front of [1, 2] and one"
    assert table.resolve("m", "2") == "two"
    assert table.default("m") == "one"
    table.set_front("m", None)
    assert table.resolve("m", "") == "one"


def test_front_may_leave_the_answer_to_the_default() -> None:
    table: ModelTable[str] = ModelTable()
    table.set_front("m", lambda ready, default: None)
    table.set_ready("m", 1, "one")
    assert table.resolve("m", "") == "one"


def test_default_is_nobody_while_stable_is_not_ready() -> None:
    table: ModelTable[str] = ModelTable()
    table.set_ready("m", 2, "two")
    table.set_labels("m", {"stable": 1})
    with pytest.raises(NotReady):
        table.default("m")
