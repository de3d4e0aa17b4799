"""Answers that are kept: what makes requests the same, and where their answers are held."""

from serve.cache.keys import Keys
from serve.cache.memory import MemoryCache, Stored
from serve.cache.shared import SharedCache

__all__ = ["Keys", "MemoryCache", "SharedCache", "Stored"]
