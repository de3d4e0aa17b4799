"""How far a run has come, on standard error: bars on a terminal, lines elsewhere."""

from __future__ import annotations

from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

__all__ = ["LineProgress", "TerminalProgress", "make_progress"]


class LineProgress:
    """A line for each new thing: what a log can show."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def __enter__(self) -> LineProgress:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def say(self, text: str) -> None:
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)

    def scenario(self, name: str, number: int, of: int) -> None:
        self.say(f"[{number}/{of}] {name}")

    def update(self, what: str, part: float | None) -> None:
        pass


class TerminalProgress:
    """One line that moves, with what is under way and how much of it is over."""

    def __init__(self, console: Console) -> None:
        self._bars = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            TimeElapsedColumn(),
            console=console,
            transient=True,
        )
        self._task = self._bars.add_task("starting", total=None)
        self._prefix = ""

    def __enter__(self) -> TerminalProgress:
        self._bars.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bars.stop()

    def say(self, text: str) -> None:
        self._bars.console.print(text, markup=False, highlight=False)

    def scenario(self, name: str, number: int, of: int) -> None:
        self._prefix = f"[{number}/{of}] {name}: "
        self.update("starting", None)

    def update(self, what: str, part: float | None) -> None:
        total = None if part is None else 1.0
        self._bars.update(
            self._task, description=self._prefix + what, total=total, completed=part or 0.0
        )


def make_progress(console: Console) -> LineProgress | TerminalProgress:
    """What suits where standard error goes."""
    return TerminalProgress(console) if console.is_terminal else LineProgress(console)
