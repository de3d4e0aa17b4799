"""One optimisation under way: runs its steps, each once, through the cache."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from optimize.cache import Cache, digest
from optimize.child import run_step
from optimize.progress import Progress
from optimize.settings import OptimizeSettings
from serve.config import ModelConfig

__all__ = ["Done", "Runner"]

PATHS = ("artefact", "baseline", "export", "lessons", "reference", "source_result", "unrounded")
"""Fields of a task that only say where the cache is; their contents are in the keys."""


@dataclass(frozen=True)
class Done:
    """A finished step: the hash of all that it was made from, and the folder of what it made."""

    key: str
    path: Path


@dataclass(frozen=True)
class Runner:
    """``base`` is what every step is told; ``libraries`` and ``hardware`` decide what it finds."""

    folder: Path
    config: ModelConfig
    settings: OptimizeSettings
    cache: Cache
    progress: Progress
    base: dict[str, Any]
    libraries: dict[str, str]
    hardware: str

    def do(self, text: str, task: dict[str, Any], *inputs: str, key_also: Any = None) -> Done:
        """Run a step unless it was run before; ``inputs`` are the keys of what it reads."""
        plain = {name: value for name, value in task.items() if name not in PATHS}
        made_by = (self.libraries, self.base["code"], self.base["device"])
        key = digest(plain, inputs, key_also, *made_by)
        with self.progress.step(text):
            return Done(key, self._run(key, text, task))

    def once(self, text: str, task: dict[str, Any], *parts: str) -> None:
        """Run a step whose work is the proof that it can be done, and keep nothing of it."""
        key = digest(task["task"], *parts)
        with self.progress.step(text):
            self._run(key, task["task"], task)
            self.cache.drop(key)

    def _run(self, key: str, text: str, task: dict[str, Any]) -> Path:
        return run_step(self.cache, key, text, {**self.base, **task}, self.settings.limits)
