"""Ray's side of the authority, with a Ray that does as the tests say."""

from __future__ import annotations

import threading
from concurrent.futures import Future
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("ray", reason="needs Ray: the extra `ray`")

from ray.exceptions import ActorDiedError, ActorUnavailableError

from serve.errors import Unavailable
from serve.executors.ray import authority as module
from serve.executors.ray.authority import KeptAuthority, RayCalls
from serve.executors.ray.authority_link import Unreachable
from serve.executors.ray.traffic_authority import AuthoritySpec, Told
from serve.executors.remote.messages import Failure
from serve.traffic.state import TrafficState

NAME = "penstock:authority"
SPEC = AuthoritySpec(Path("/state"), Path("/models"), "1.0", "info", "text")


class Reference:
    """What a call gives; ``answer`` None: it never does."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer

    def future(self) -> Future[Any]:
        future: Future[Any] = Future()
        if isinstance(self.answer, Exception):
            future.set_exception(self.answer)
        elif self.answer is not None:
            future.set_result(self.answer)
        return future


class Actor:
    def __init__(self, spec: AuthoritySpec) -> None:
        self.answers: dict[str, Any] = {
            "spec": spec,
            "changes": Told("1", TrafficState(revision=7)),
        }

    def __getattr__(self, method: str) -> Any:
        return SimpleNamespace(remote=lambda *_: Reference(self.answers[method]))


@dataclass
class Options:
    ray: Ray
    name: str = ""

    def options(self, *, name: str, **options: Any) -> Options:
        assert options["lifetime"] == "detached"
        assert options["max_restarts"] == -1
        assert options["get_if_exists"]
        return Options(self.ray, name)

    def remote(self, spec: AuthoritySpec) -> Actor:
        return self.ray.actors.setdefault(self.name, Actor(spec))


class Ray:
    """Named actors."""

    def __init__(self) -> None:
        self.actors: dict[str, Actor] = {}
        self.looks = 0

    def remote(self, _: type) -> Options:
        return Options(self)

    def get(self, reference: Reference, timeout: float) -> Any:
        if isinstance(reference.answer, Exception):
            raise reference.answer
        return reference.answer

    def get_actor(self, name: str, namespace: str) -> Actor:
        self.looks += 1
        if name not in self.actors:
            raise ValueError(f"Failed to look up actor with name '{name}'.\nYou may ...")
        return self.actors[name]

    def kill(self, actor: Actor, *, no_restart: bool) -> None:
        assert no_restart
        self.actors = {name: each for name, each in self.actors.items() if each is not actor}


@pytest.fixture
def ray(monkeypatch: pytest.MonkeyPatch) -> Ray:
    fake = Ray()
    monkeypatch.setattr(module, "ray", fake)
    return fake


def test_authority_gives_the_rules_and_is_ended(ray: Ray) -> None:
    kept = KeptAuthority("penstock", SPEC)
    kept.start()
    assert kept.state().revision == 7
    kept.stop()
    kept.stop()
    assert ray.actors == {}


def test_authority_of_an_earlier_server_goes_on(ray: Ray) -> None:
    there = ray.actors[NAME] = Actor(SPEC)
    kept = KeptAuthority("penstock", SPEC)
    kept.start()
    assert kept.state().revision == 7
    assert ray.actors[NAME] is there


def test_authority_of_another_file_or_release_is_replaced(ray: Ray) -> None:
    for other in (replace(SPEC, state=Path("/other")), replace(SPEC, release="0.9")):
        there = ray.actors[NAME] = Actor(other)
        kept = KeptAuthority("penstock", SPEC)
        kept.start()
        assert kept.state().revision == 7
        assert ray.actors[NAME] is not there


def test_authority_that_is_gone_for_good_is_started_again(ray: Ray) -> None:
    kept = KeptAuthority("penstock", SPEC)
    kept.start()
    kept.state()
    ray.actors.pop(NAME).answers["changes"] = ActorDiedError()
    with pytest.raises(ActorDiedError):
        kept.state()
    assert kept.state().revision == 7
    assert NAME in ray.actors


def test_file_that_cannot_be_used_is_an_error_for_users(ray: Ray) -> None:
    kept = KeptAuthority("penstock", SPEC)
    kept.start()
    ray.actors[NAME].answers["changes"] = Failure("Unavailable", "/state is damaged")
    with pytest.raises(Unavailable, match="/state is damaged"):
        kept.state()


async def test_gateway_looks_its_authority_up_once(ray: Ray) -> None:
    ray.actors[NAME] = Actor(SPEC)
    calls = RayCalls("penstock")
    for _ in range(3):
        assert await calls.call("spec", timeout_s=30) == SPEC
    assert ray.looks == 1


async def test_authority_that_is_not_there_cannot_be_reached(ray: Ray) -> None:
    with pytest.raises(Unreachable, match=r"^Failed to look up .* 'penstock:authority'\.$"):
        await RayCalls("penstock").call("spec", timeout_s=30)


async def test_authority_that_is_lost_is_looked_up_again(ray: Ray) -> None:
    ray.actors[NAME] = Actor(SPEC)
    calls = RayCalls("penstock")
    ray.actors[NAME].answers["spec"] = ActorUnavailableError("it is restarted", b"a" * 16)
    with pytest.raises(Unreachable, match="it is restarted"):
        await calls.call("spec", timeout_s=30)
    ray.actors[NAME] = Actor(SPEC)
    assert await calls.call("spec", timeout_s=30) == SPEC


async def test_authority_that_says_nothing_cannot_be_reached(ray: Ray) -> None:
    ray.actors[NAME] = Actor(SPEC)
    ray.actors[NAME].answers["changes"] = None
    calls = RayCalls("penstock")
    with pytest.raises(Unreachable, match=r"no answer within 0\.01 s"):
        await calls.call("changes", "", 0.0, timeout_s=0.01)


async def test_ray_that_says_nothing_holds_up_nobody(ray: Ray) -> None:
    go = threading.Event()
    looked_up = ray.get_actor

    def get_actor(name: str, namespace: str) -> Actor:
        go.wait(30)
        return looked_up(name, namespace)

    ray.get_actor = get_actor  # type: ignore[method-assign]
    ray.actors[NAME] = Actor(SPEC)
    calls = RayCalls("penstock")
    with pytest.raises(Unreachable):
        await calls.call("spec", timeout_s=0.01)
    go.set()
    assert await calls.call("spec", timeout_s=30) == SPEC
