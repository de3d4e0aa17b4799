"""Who decides what is loaded: the start alone, the repository as it changes, or clients.

These are Triton's modes ``none``, ``poll`` and ``explicit``. Whatever happens to one model is done
in order, and different models do not wait for each other.
"""

from __future__ import annotations

import asyncio
import logging
import tempfile
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, TypeVar
from weakref import WeakValueDictionary

from serve.errors import NotFound, NotReady, PenstockError, RepositoryError, Unavailable
from serve.gateway.control import Controller
from serve.gateway.endpoint import Endpoint
from serve.gateway.loading import in_thread
from serve.repository.entry import BrokenModel, ModelEntry, Repository
from serve.repository.files import shown
from serve.repository.override import Override, read_overridden, write_files
from serve.repository.prints import ModelPrint, model_print
from serve.repository.scan import is_reserved, look_at, model_folders, names_in, scan, scan_model
from serve.repository.settling import Change, Settling
from serve.repository.table import ModelTable
from serve.repository.versions import Needed, named

__all__ = ["Mode", "ModelControl"]

log = logging.getLogger("penstock.models")

T = TypeVar("T")
Mode = Literal["none", "poll", "explicit"]
EVERY_MODEL = "*"


class ModelControl:
    """Reads the repository, and has the controller do what follows. Belongs to the event loop."""

    def __init__(
        self,
        root: Path,
        controller: Controller,
        table: ModelTable[Endpoint],
        *,
        mode: Mode = "none",
        poll_s: float = 15.0,
        needed: Needed = named,
        renew: Callable[[], None] = lambda: None,
    ) -> None:
        """``needed``: the versions that are served whatever a model's policy says.

        ``renew`` brings the folder up to date before each look after the start. It may block,
        and raises RepositoryError where it cannot: then all goes on as it was.
        """
        # shared
        self.mode = mode
        self._root = root
        self._controller = controller
        self._table = table
        self._poll_s = poll_s
        self._needed = needed
        self._renew = renew
        # state
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._tasks: set[asyncio.Task[None]] = set()
        self._unloaded: dict[str, tuple[int, ...]] = {}
        self._overridden: set[str] = set()
        self._settling = Settling({})
        self._problem = ""
        self._started = asyncio.Event()
        self._stopped = False

    # the start

    async def read(self) -> Repository:
        """The repository as it is at the start.

        Raises:
            RepositoryError: it cannot be read, or has no model, and none may come later.
        """
        if self.mode == "poll":
            # Before anything is read, so that what changes meanwhile is seen at the first look.
            self._settling = Settling(await _asked(lambda: _prints(self._root)))
        may_be_empty = self.mode != "none"
        return await _asked(
            lambda: scan(self._root, may_be_empty=may_be_empty, needed=self._needed)
        )

    async def start(self, repository: Repository, names: Sequence[str] = ()) -> None:
        """Load what is served from the start, and from then on what follows.

        ``names`` are the models to load in explicit mode.
        """
        if self.mode == "explicit" and EVERY_MODEL not in names:
            known = repository.models | repository.broken | repository.unbuilt  # type: ignore[operator]
            for name in names:
                if name not in known:
                    self._controller.say_broken(BrokenModel(name, _absent(self._root / name)))
            repository = replace(
                repository,
                models={n: entry for n, entry in repository.models.items() if n in names},
                broken={n: model for n, model in repository.broken.items() if n in names},
                unbuilt={n: model for n, model in repository.unbuilt.items() if n in names},
            )
        await self._controller.load_all(repository)
        await self.list_models()
        self._started.set()
        if self.mode == "poll" and not self._stopped:
            self._begin(self._follow())

    def stop(self) -> None:
        """Change nothing any more; what is being loaded is given up."""
        self._stopped = True
        for task in self._tasks:
            task.cancel()

    # clients

    async def load(self, name: str, override: Override) -> None:
        """Load a model, or load it again, as the repository or the request has it.

        Goes on when whoever waits for it is cancelled.

        Raises:
            Unavailable: clients do not decide in this mode.
            NotFound: there is no such model.
            InvalidRequest, Unsupported, RepositoryError, InternalError: it cannot be served, and
                why. What has served it goes on.
        """
        self._refuse("load", name)
        await self._asked_for(self._load(name, override))

    async def unload(self, name: str) -> None:
        """Take a model out of service; returns when it has answered all it took, and is freed.

        Goes on when whoever waits for it is cancelled. No error if it is not loaded.

        Raises:
            Unavailable: clients do not decide in this mode.
            NotFound: there is no such model.
        """
        self._refuse("unload", name)
        await self._asked_for(self._unload(name))

    async def list_models(self) -> None:
        """In explicit mode, look which models could be loaded."""
        if self.mode != "explicit":
            return
        names = await _asked(lambda: names_in(self._root))
        self._unloaded = {name: v for name, v in self._unloaded.items() if name in names}
        self._table.set_aside({name: self._unloaded.get(name, ()) for name in names})

    # the repository

    async def reread(self) -> None:
        """Follow the repository once, as it is now; in explicit mode for what is loaded."""
        await self._started.wait()
        try:
            repository = await self._renewed(
                lambda: scan(self._root, may_be_empty=self.mode != "none", needed=self._needed)
            )
        except PenstockError as error:
            log.error("the repository is not read again, all goes on as it was: %s", error)
            return
        found: dict[str, ModelEntry | BrokenModel | None] = dict.fromkeys(self._table.names())
        if self.mode == "explicit":
            found = {name: None for name in found if name not in self._overridden}
        for known in (repository.models, repository.broken, repository.unbuilt):
            found |= {n: f for n, f in known.items() if self.mode != "explicit" or n in found}
        await asyncio.gather(*(self._follow_one(name, it) for name, it in found.items()))

    async def refresh(self, name: str) -> None:
        """Have the versions of a model loaded that its rules need by now, if it is served."""
        await self._started.wait()
        if name in self._overridden or not self._controller.serves(name):
            return
        folder = self._root / name
        found = await _asked(lambda: look_at(folder, needed=self._needed))
        if found is not None:
            await self._follow_one(name, found)

    def begin_refresh(self, name: str) -> None:
        """``refresh``, without waiting for it."""
        if not self._stopped:
            self._begin(self.refresh(name))

    async def poll(self) -> None:
        """Look at the repository, and follow what has come to rest since."""
        try:
            seen = await self._renewed(lambda: _prints(self._root))
            if not seen and self._controller.serves():
                raise _absent(self._root)  # a volume that is not there, rather than a wish
        except PenstockError as error:
            if str(error) != self._problem:
                log.error("the repository cannot be followed, all goes on as it was: %s", error)
            self._problem = str(error)
            return
        self._problem = ""
        for change in self._settling.look(seen):
            self._begin(self._follow_change(change))

    # inside

    def _renewed(self, look: Callable[[], T]) -> asyncio.Future[T]:
        """``look`` at the folder, up to date."""

        def work() -> T:
            self._renew()
            return look()

        return _asked(work)

    async def _follow(self) -> None:
        while True:
            await asyncio.sleep(self._poll_s)
            await self.poll()

    async def _follow_change(self, change: Change) -> None:
        found = None
        if change.print is not None:
            folder = self._root / change.name
            found = await _asked(lambda: look_at(folder, change.hidden, self._needed))
        await self._follow_one(change.name, found)

    async def _follow_one(self, name: str, found: ModelEntry | BrokenModel | None) -> None:
        async with self._lock(name):
            if found is None:
                await self._controller.unload(name)
            elif isinstance(found, ModelEntry):
                await self._controller.bring(found)
            else:
                self._controller.say_broken(found)

    async def _load(self, name: str, override: Override) -> None:
        folder = self._folder(name)
        async with self._lock(name):
            entry, files = await self._renewed(lambda: _entry(folder, override, self._needed))
            failed = await self._controller.bring(entry, files, again=True)
            if override.config and not failed:
                self._overridden.add(name)
            elif not failed:
                self._overridden.discard(name)
        await self.list_models()
        for error in failed.values():
            raise error

    async def _unload(self, name: str) -> None:
        folder = self._folder(name)
        async with self._lock(name):
            if not self._controller.serves(name) and not await _asked(folder.is_dir):
                raise NotFound(f"failed to unload {shown(name)}: there is no such model")
            if versions := await self._controller.unload(name):
                self._unloaded[name] = versions
            self._overridden.discard(name)
        await self.list_models()

    def _folder(self, name: str) -> Path:
        """The folder of a model that a client names, which may be anything."""
        plain = name.isprintable() and "/" not in name and name not in ("", ".", "..")
        if not plain or is_reserved(name):
            raise NotFound(f"Request for unknown model: {shown(name)} is not found")
        return self._root / name

    def _refuse(self, verb: str, name: str) -> None:
        if self._stopped:
            raise NotReady("the server is stopping")
        if self.mode == "explicit":
            if not self._started.is_set():
                raise NotReady("the server is still loading what it starts with: try again")
            return
        why = (
            "model control is off; start the server with --model-control-mode explicit, or change"
            " the repository and send it SIGHUP"
        )
        if self.mode == "poll":
            why = "the server follows its repository (--model-control-mode poll); change that"
        raise Unavailable(f"failed to {verb} {shown(name)}: {why}")

    async def _asked_for(self, work: Coroutine[Any, Any, None]) -> None:
        """Do what a client has asked for, also when it does not wait for the end."""
        task = self._begin(work)
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError:
            if task.cancelled():
                raise NotReady("the server is stopping: what was asked for is given up") from None
            raise

    def _begin(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None and not isinstance(error, PenstockError):
            log.error("a change of the models failed unexpectedly", exc_info=error)

    def _lock(self, name: str) -> asyncio.Lock:
        lock = self._locks.get(name)
        if lock is None:
            self._locks[name] = lock = asyncio.Lock()
        return lock


def _asked(work: Callable[[], T]) -> asyncio.Future[T]:
    return in_thread(work, "penstock-repository")


def _prints(root: Path) -> dict[str, ModelPrint]:
    prints = {}
    for folder in model_folders(root):
        try:
            seen = model_print(folder)
        except OSError:  # said of the model when it is looked at
            seen = ModelPrint()
        if seen is not None:
            prints[folder.name] = seen
    return prints


def _entry(
    folder: Path, override: Override, needed: Needed
) -> tuple[ModelEntry, tempfile.TemporaryDirectory[str] | None]:
    """What to load, and the folder that was made for it."""
    if override.files:
        files = write_files(folder.name, override.files)
        try:
            made = Path(files.name, folder.name)
            return read_overridden(made, override.config, uploaded=True), files
        except BaseException:
            files.cleanup()
            raise
    if not folder.is_dir():
        raise NotFound(f"failed to load {shown(folder.name)}: the repository has no such model")
    if override.config:
        return read_overridden(folder, override.config, uploaded=False), None
    return scan_model(folder, needed=needed), None


def _absent(path: Path) -> RepositoryError:
    return RepositoryError(
        path=str(path),
        problem="is not there" if not path.exists() else "has no model in it",
        remedy="put the models' folders there, or stop the server to serve none",
    )
