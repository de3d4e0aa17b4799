"""Which versions the live rules need, of a repository whose versions a fleet serves. No ray."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from serve.config import ModelConfig
from serve.repository.entry import BrokenModel, ModelEntry, Repository
from serve.repository.scan import look_at, scan
from serve.traffic.rules import basis_of, needed_versions
from serve.traffic.state import TrafficState

__all__ = ["Needs"]


class Needs:
    """Reads a repository with what the rules need besides. Blocks on the disk."""

    def __init__(self) -> None:
        self._state = TrafficState()
        self._met: dict[str, tuple[frozenset[int], str]] = {}

    def follow(self, state: TrafficState) -> None:
        """These rules count from now on."""
        self._state = state

    def scan(self, root: Path) -> Repository:
        """The whole repository; raises RepositoryError."""
        found = scan(root, needed=self._needed)
        self._met = {name: self._met[name] for name in self._met if name in found.models}
        return found

    def changed(self, repository: Repository) -> tuple[Repository, frozenset[str]]:
        """``repository``, with those models read again of which the rules want something else by
        now, other versions or what ``model.yaml`` says by now; and which these are."""
        models, broken = dict(repository.models), dict(repository.broken)
        names = {
            name
            for name, entry in repository.models.items()
            if self._asked(name, entry.config) != self._met.get(name)
        }
        for name in names:
            found = look_at(models[name].folder, needed=self._needed)
            if isinstance(found, ModelEntry):
                models[name] = found
            elif isinstance(found, BrokenModel):
                del models[name]
                broken[name] = found
        return replace(repository, models=models, broken=broken), frozenset(names)

    # inside

    def _needed(self, name: str, config: ModelConfig) -> Mapping[str, int]:
        self._met[name] = self._asked(name, config)
        return needed_versions(config, self._state.of(name))

    def _asked(self, name: str, config: ModelConfig) -> tuple[frozenset[int], str]:
        """What a model was read for: versions, and settings other than those that are known."""
        state = self._state.of(name)
        other = state.basis if state.basis != basis_of(config) else ""
        return frozenset(needed_versions(config, state).values()), other
