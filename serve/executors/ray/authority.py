"""The actor of the traffic rules' authority: made, found, called and ended. Imports ray."""

from __future__ import annotations

import asyncio
import logging
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import ray
from ray.exceptions import RayActorError, RayError

from serve.executors.ray.authority_link import Unreachable
from serve.executors.ray.traffic_authority import AuthoritySpec, TrafficAuthority
from serve.executors.remote.messages import Failure
from serve.traffic.state import TrafficState

__all__ = ["HEAD", "KeptAuthority", "RayCalls"]

log = logging.getLogger("penstock.ray")

NAMESPACE = "penstock"
HEAD = "node:__internal_head__"
"""Ray's own name for a resource that the head node alone has."""
A_LITTLE = 0.001
ANSWER_S = 5.0
CALLERS = 10_000
"""Calls that wait in the actor: each gateway has one there all the time."""


def authority_of(server: str) -> str:
    """The name of a server's authority."""
    return f"{server}:authority"


class KeptAuthority:
    """The authority of a server, for whoever looks after that. Methods block on Ray."""

    def __init__(self, server: str, spec: AuthoritySpec) -> None:
        self._name = authority_of(server)
        self._spec = spec
        self._actor: Any = None
        self._is_ours = False

    def start(self) -> None:
        """Have it started, or take over the one that is there; does not wait for it."""
        self._actor = (
            ray.remote(TrafficAuthority)
            .options(
                name=self._name,
                namespace=NAMESPACE,
                get_if_exists=True,
                lifetime="detached",
                max_restarts=-1,
                max_concurrency=CALLERS,
                num_cpus=0,
                resources={HEAD: A_LITTLE},
            )
            .remote(self._spec)
        )

    def state(self) -> TrafficState:
        """The rules as they are.

        Raises:
            PenstockError: the file of the rules cannot be used.
            RayError: it does not answer; if it is gone for good, another one is started.
        """
        if self._actor is None:
            self.start()
        try:
            self._adopt()
            told = ray.get(self._actor.changes.remote(), timeout=ANSWER_S)
        except RayActorError:
            self._actor = None
            raise
        if isinstance(told, Failure):
            raise told.error()
        state: TrafficState = told.state
        return state

    def stop(self) -> None:
        """End it; its file stays."""
        if self._actor is not None:
            ray.kill(self._actor, no_restart=True)
            self._actor = None
            self._is_ours = False

    def _adopt(self) -> None:
        """Replace one that an earlier server has left, if its settings or release are others."""
        if self._is_ours:
            return
        if ray.get(self._actor.spec.remote(), timeout=ANSWER_S) != self._spec:
            log.info("replacing the authority over traffic rules of an earlier server")
            self.stop()
            self.start()
        self._is_ours = True


class RayCalls:
    """Calls a server's authority from a gateway; see ``Calls``. Belongs to the event loop."""

    def __init__(self, server: str) -> None:
        self._name = authority_of(server)
        self._actor: Any = None
        # What asks Ray where the actor is may wait for it, and nothing may hold up the loop.
        self._work = ThreadPoolExecutor(1, thread_name_prefix="authority")

    async def call(self, method: str, *arguments: Any, timeout_s: float) -> Any:
        """See ``Calls``."""
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(timeout_s):
                sent = await loop.run_in_executor(self._work, self._send, method, arguments)
                return await asyncio.wrap_future(sent)
        except TimeoutError:
            raise Unreachable(f"no answer within {timeout_s:.3g} s") from None
        except RayActorError as error:
            self._actor = None
            raise Unreachable(_first_line(error)) from None
        except (RayError, ValueError) as error:  # ValueError: there is none of that name
            raise Unreachable(_first_line(error)) from None

    def _send(self, method: str, arguments: tuple[Any, ...]) -> Future[Any]:
        actor = self._actor
        if actor is None:
            actor = self._actor = ray.get_actor(self._name, namespace=NAMESPACE)
        sent: Future[Any] = getattr(actor, method).remote(*arguments).future()
        return sent


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]
