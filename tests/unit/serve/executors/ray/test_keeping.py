"""Looking after a fleet: what is said when, and that nothing but an order ends it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("ray", reason="needs Ray: the extra `ray`")

from serve.config import ModelConfig, ServerSettings
from serve.errors import RepositoryError, Unavailable
from serve.executors.ray.keeping import Keeping
from serve.executors.ray.needs import Needs
from serve.executors.ray.orders import Orders
from serve.repository.entry import Repository
from serve.traffic.rules import basis_of
from serve.traffic.state import ModelState, TrafficState
from tests.support import onnx_models


class Fleet:
    """Does as ``looks`` say, one after the other; a look that is an error is raised."""

    def __init__(self, *looks: bool | Exception, failures: int = 0) -> None:
        self.looks = list(looks)
        self.failures = failures
        self.wanted: list[list[str]] = []
        self.read: list[frozenset[str] | None] = []
        self.at_end: Callable[[], None] = lambda: None

    def want(self, repository: Repository, read: frozenset[str] | None = None) -> None:
        self.wanted.append(sorted(repository.models))
        self.read.append(read)

    def look(self) -> bool:
        outcome = self.looks.pop(0)
        if not self.looks:
            self.at_end()
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    def replicas(self) -> dict[str, int]:
        return {}


class Rig:
    def __init__(
        self, root: Path, fleet: Fleet, renew: Callable[[], None] = lambda: None, **settings: Any
    ) -> None:
        self.orders = Impatient()
        self.root = root
        self.needs = Needs()
        self.rules: list[TrafficState | Exception] = [TrafficState()]
        self.keeping = Keeping(
            fleet,  # type: ignore[arg-type]
            root,
            self.needs,
            self.ask,
            ServerSettings.model_validate(settings),
            self.orders,
            lambda: 0,
            0,
            renew,
        )
        fleet.at_end = self.orders.order_stop

    def run(self) -> int:
        return self.keeping.run(self.needs.scan(self.root))

    def ask(self) -> TrafficState:
        """One answer after the other; the last one for ever."""
        answer = self.rules.pop(0) if len(self.rules) > 1 else self.rules[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


class Impatient(Orders):
    """Waits for nothing."""

    def wait(self, timeout_s: float) -> None:
        super().wait(0)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    onnx_models.identity(tmp_path / "models/one/1/model.onnx")
    return tmp_path / "models"


def test_repository_is_wanted_once_and_serving_is_said_when_all_is_settled(root: Path) -> None:
    fleet = Fleet(False, False, True, True)
    rig = Rig(root, fleet)
    assert rig.run() == 0
    assert fleet.wanted == [["one"]]
    assert rig.keeping.serving.is_set()


def test_serve_that_does_not_answer_is_asked_again(root: Path) -> None:
    fleet = Fleet(ConnectionError("the controller is gone"), TimeoutError(), False, True)
    rig = Rig(root, fleet)
    assert rig.run() == 0
    assert rig.keeping.serving.is_set()


def test_repository_is_wanted_again_if_serve_was_not_told_of_it(root: Path) -> None:
    fleet = Fleet(True)
    told = fleet.want
    answers = iter([ConnectionError("the controller is gone")])

    def want(repository: Repository, read: frozenset[str] | None) -> None:
        if (error := next(answers, None)) is not None:
            raise error
        told(repository, read)

    fleet.want = want  # type: ignore[method-assign]
    assert Rig(root, fleet).run() == 0
    assert fleet.wanted == [["one"]]


def test_other_error_ends_it(root: Path) -> None:
    with pytest.raises(ZeroDivisionError):
        Rig(root, Fleet(ZeroDivisionError())).run()


def test_order_reads_the_repository_again(root: Path) -> None:
    fleet = Fleet(True, True)
    rig = Rig(root, fleet)
    onnx_models.identity(root / "two/1/model.onnx")
    rig.orders.order_again()
    assert rig.run() == 0
    assert fleet.wanted == [["one", "two"]]


def test_repository_that_cannot_be_read_changes_nothing(root: Path) -> None:
    fleet = Fleet(True, True, True)
    rig = Rig(root, fleet)
    found = rig.needs.scan(root)
    (root / "one/1/model.onnx").unlink()
    (root / "one/1").rmdir()
    (root / "one").rmdir()
    root.rmdir()
    rig.orders.order_again()
    assert rig.keeping.run(found) == 0
    assert fleet.wanted == [["one"]]


def test_folder_is_brought_up_to_date_before_it_is_read_again(root: Path) -> None:
    fleet = Fleet(True, True)

    def renew() -> None:
        onnx_models.identity(root / "two/1/model.onnx")

    rig = Rig(root, fleet, renew)
    rig.orders.order_again()
    assert rig.run() == 0
    assert fleet.wanted[-1] == ["one", "two"]


def test_folder_that_cannot_be_brought_up_to_date_changes_nothing(
    root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    fleet = Fleet(True, True)

    def renew() -> None:
        raise RepositoryError(path="s3://bucket", problem="does not answer", remedy="try again")

    rig = Rig(root, fleet, renew)
    rig.orders.order_again()
    assert rig.run() == 0
    assert fleet.wanted == [["one"]]
    assert "s3://bucket: does not answer (try again): all stays as it is" in caplog.text


def test_failed_model_ends_it_if_that_is_forbidden(root: Path) -> None:
    assert Rig(root, Fleet(False, True, failures=1), strict=True).run() == 1
    assert Rig(root, Fleet(False, True, failures=1)).run() == 0


def labelled(version: int) -> TrafficState:
    state = ModelState(labels={"stable": version}, basis=basis_of(ModelConfig()))
    return TrafficState(models={"one": state})


def test_model_is_wanted_again_when_rules_need_another_version(root: Path) -> None:
    onnx_models.identity(root / "one/2/model.onnx")
    onnx_models.identity(root / "two/1/model.onnx")
    fleet = Fleet(True, True, True)
    rig = Rig(root, fleet)
    rig.rules = [TrafficState(), labelled(2), labelled(1)]
    assert rig.run() == 0
    assert fleet.read == [None, frozenset({"one"}), frozenset({"one"})]


def test_nothing_is_served_before_the_rules_are_known(root: Path) -> None:
    fleet = Fleet(True)
    rig = Rig(root, fleet)
    rig.rules = [ConnectionError("it is gone"), TimeoutError(), labelled(1)]
    assert rig.run() == 0
    assert fleet.wanted == [["one"]]


def test_last_rules_count_while_nobody_knows_them(
    root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    onnx_models.identity(root / "one/2/model.onnx")
    fleet = Fleet(True, True, True, True)
    rig = Rig(root, fleet)
    gone = ConnectionError("it is gone")
    rig.rules = [labelled(1), gone, Unavailable("its file is damaged"), labelled(1)]
    assert rig.run() == 0
    assert fleet.wanted == [["one"]]
    assert caplog.text.count("the last ones count") == 1


def test_file_of_rules_that_cannot_be_used_ends_a_server_that_starts(root: Path) -> None:
    rig = Rig(root, Fleet(True))
    rig.rules = [Unavailable("/state is damaged")]
    with pytest.raises(Unavailable, match="/state is damaged"):
        rig.run()


def test_wait_ends_with_an_order() -> None:
    orders = Orders()
    waited = threading.Thread(target=orders.wait, args=(60,))
    waited.start()
    orders.order_again()
    waited.join(30)
    assert not waited.is_alive()
    assert orders.again.is_set() and not orders.stop.is_set()
