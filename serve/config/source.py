"""Where a model's versions come from, when they are not put into its folder by hand."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated

from pydantic import AfterValidator

__all__ = ["RegistryReference", "Source", "parse_reference"]

PREFIX = "models:/"
NAME = re.compile(r"[^/@:\x00-\x1f\x7f]{1,250}")
ALIAS = re.compile(r"[A-Za-z0-9._-]{1,255}")
NUMBER = re.compile(r"[1-9][0-9]{0,17}")


@dataclass(frozen=True, slots=True)
class RegistryReference:
    """A registered model, and what says which version of it: an alias, or its number."""

    name: str
    alias: str = ""
    number: int | None = None

    def __str__(self) -> str:
        """As it is written in ``model.yaml``."""
        return f"{PREFIX}{self.name}" + (f"@{self.alias}" if self.alias else f"/{self.number}")


def parse_reference(text: str) -> RegistryReference:
    """``models:/NAME@ALIAS`` or ``models:/NAME/VERSION``, taken apart.

    Raises:
        ValueError: it is neither.
    """
    rest = text.removeprefix(PREFIX)
    if rest != text:
        name, at, alias = rest.partition("@")
        if at and NAME.fullmatch(name) and ALIAS.fullmatch(alias):
            return RegistryReference(name, alias=alias)
        name, _, number = rest.partition("/")
        if NAME.fullmatch(name) and NUMBER.fullmatch(number):
            return RegistryReference(name, number=int(number))
    raise ValueError(
        f"{text!r:.120} names no version of a registered model: write models:/NAME@ALIAS, as in"
        " models:/fraud@champion, or models:/NAME/VERSION"
    )


def _reference(text: str) -> str:
    parse_reference(text)
    return text


Source = Annotated[str, AfterValidator(_reference)]
"""A reference as it stands in ``model.yaml``."""
