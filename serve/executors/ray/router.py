"""All that touches Serve's request routers and other interfaces of it that may change.

Imports ray. A process that has a handle of an application has one of these routers, which Serve
tells of every change of the replicas. We never route a request through it: what we want is to be
told. A Ray that does it otherwise shows in ``tests/ray``.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import ray
from ray import serve
from ray.exceptions import RayError
from ray.serve.config import RequestRouterConfig
from ray.serve.exceptions import RayServeException
from ray.serve.handle import DeploymentHandle, DeploymentResponse
from ray.serve.request_router import FIFOMixin, PendingRequest, RequestRouter, RunningReplica

from serve.executors.ray.directory import Directory, Listener, the_directory
from serve.executors.remote.options import Endpoint

__all__ = ["ENGINE", "QUIET", "EndpointRouter", "Finder", "router_config", "with_version"]

log = logging.getLogger("penstock.gateway")

ENGINE = "EngineReplica"
"""The deployment in each application of a model."""
QUIET = {"log_level": "WARNING", "enable_access_log": False}
"""For Serve's own log: its calls are no requests of clients."""
LOOPBACK = ("127.", "localhost:", "::1:")


class EndpointRouter(FIFOMixin, RequestRouter):  # type: ignore[misc]
    """Publishes where the replicas of an application listen, in this process's directory."""

    def initialize_state(self, application: str = "") -> None:
        """Called by Serve with the arguments that ``router_config`` gives."""
        self._application = application

    async def choose_replicas(
        self,
        candidate_replicas: list[RunningReplica],
        pending_request: PendingRequest | None = None,
    ) -> list[list[RunningReplica]]:
        """Any: only a call of ours that is no request comes this way."""
        return [candidate_replicas]

    def update_replicas(self, replicas: list[RunningReplica]) -> None:
        """Called by Serve, in a thread of its own, with all replicas there are now."""
        super().update_replicas(replicas)
        node = ray.get_runtime_context().get_node_id()
        endpoints = {}
        for replica in replicas:
            metadata = replica.replica_metadata
            if metadata:  # not all there is to know of it has arrived
                endpoints[metadata["replica"]] = endpoint_of(metadata, node)
        the_directory().publish(self._application, endpoints)


def endpoint_of(metadata: Mapping[str, Any], node: str) -> Endpoint:
    """How a gateway on ``node`` reaches a replica."""
    about = {"node": metadata["node"], "pid": metadata["pid"], "admin": metadata["admin"]}
    if metadata["node"] == node:
        return Endpoint(path=metadata["socket"], **about)
    if metadata["admin"].startswith(LOOPBACK):  # of the other node
        about["admin"] = ""
    return Endpoint(host=metadata["host"], port=metadata["port"], **about)


def router_config(application: str) -> RequestRouterConfig:
    """What makes Serve use ``EndpointRouter`` for an application."""
    return RequestRouterConfig(
        request_router_class=f"{EndpointRouter.__module__}.{EndpointRouter.__name__}",
        request_router_kwargs={"application": application},
    )


def with_version(deployment: serve.Deployment, version: str) -> serve.Deployment:
    """A deployment that replaces no replica of the same version when it is deployed again.

    Serve would make up a version, and replace them all, though only ``user_config`` changed.
    """
    return deployment.options(version=version, _internal=True)


class Finder:
    """Implements the gateway's ``ReplicaFinder`` with handles, for what Serve tells them."""

    def __init__(self, directory: Directory | None = None) -> None:
        self._directory = directory or the_directory()
        self._handles: dict[str, DeploymentHandle[Any]] = {}
        self._loops: dict[str, asyncio.AbstractEventLoop] = {}
        self._asked: dict[str, Future[None]] = {}
        self._work = ThreadPoolExecutor(1, thread_name_prefix="replica-finder")

    def find(self, application: str, loop: Any, listener: Callable[..., None]) -> None:
        """See ``ReplicaFinder``."""
        told: Listener = listener
        self._loops[application] = loop
        self._directory.listen(application, loop, told)
        # In a thread, because it asks Serve's controller, and nothing may hold up the loop.
        self._work.submit(self._open, application)

    def forget(self, application: str) -> None:
        """See ``ReplicaFinder``."""
        self._directory.forget(application)
        self._work.submit(self._close, application)

    def wake(self, application: str) -> None:
        """See ``ReplicaFinder``."""
        self._work.submit(self._wake, application)

    def _wake(self, application: str) -> None:
        """Call any replica: Serve's controller is told at once that a call waits for the first."""
        handle = self._handles.get(application)
        asked = self._asked.get(application)
        if handle is None or not (asked is None or asked.done()):
            return
        try:
            answer = _answered(handle.wake.remote())
            loop = self._loops[application]
            self._asked[application] = asyncio.run_coroutine_threadsafe(answer, loop)
        except Exception:
            log.exception("no replica of %s can be asked for", application)

    def _open(self, application: str) -> None:
        try:
            # A copy with options has a router, which is what we want of it.
            self._handles[application] = serve.get_deployment_handle(ENGINE, application).options()
        except Exception:
            log.exception("the replicas of %s are not announced", application)

    def _close(self, application: str) -> None:
        handle = self._handles.pop(application, None)
        asked = self._asked.pop(application, None)
        self._loops.pop(application, None)
        if asked is not None:
            asked.cancel()
        if handle is not None:
            handle.shutdown()


async def _answered(call: DeploymentResponse[None]) -> None:
    """Until a replica has answered a call, or cannot; to stop waiting withdraws the call."""
    try:
        await call
    except (RayError, RayServeException) as error:
        log.info("a replica that was asked for did not answer: %s", error)
