"""What the audit log says of a change, and what it takes from whoever asks for one."""

from __future__ import annotations

import msgspec

from serve.errors import InvalidRequest
from serve.traffic.changes import Situation
from serve.traffic.operations import Operation
from serve.traffic.state import Audit, ModelState

__all__ = ["check_told", "line_of", "words_of"]

MOST_TEXT = 1000


def check_told(who: str, why: str) -> None:
    """Refuse what cannot be kept in a line; raises InvalidRequest."""
    if len(why) > MOST_TEXT or not why.isprintable():
        raise InvalidRequest(f"why: should be printable, of {MOST_TEXT} characters at most")
    if not who or len(who) > MOST_TEXT or not who.isprintable():
        raise InvalidRequest("who: should be printable, and not empty")


def line_of(at: Situation, after: ModelState, what: str, why: str = "") -> Audit:
    """The line of a change, which has no number yet."""
    return Audit(
        number=0,
        time_s=at.now_s,
        who=at.who,
        model=at.model,
        what=what,
        why=(why or at.why)[:MOST_TEXT],
        before=at.state,
        after=after,
    )


def words_of(operation: Operation) -> str:
    """An operation in words."""
    fields = {name: value for name, value in msgspec.to_builtins(operation).items() if value}
    kind = str(fields.pop("operation")).replace("_", " ")
    said = ", ".join(f"{name} {msgspec.json.encode(v).decode()}" for name, v in fields.items())
    return f"{kind}: {said}"[:MOST_TEXT] if said else kind
