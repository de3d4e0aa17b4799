"""What a model's own code raises: anything at all, and it must never end more than the model."""

from __future__ import annotations

import threading

__all__ = ["is_interrupt", "shown_error"]

MAX_CHARS = 300


def is_interrupt(error: BaseException) -> bool:
    """Whether it is the user's Ctrl-C, which reaches the main thread only, and not the model's."""
    main = threading.current_thread() is threading.main_thread()
    return main and isinstance(error, KeyboardInterrupt)


def shown_error(error: BaseException) -> str:
    """Type and message, on one short line; its own ``__str__`` may raise too."""
    try:
        text = error.msg if isinstance(error, SyntaxError) else str(error)
    except Exception:  # noqa: BLE001 - the model's own code
        text = "its message cannot be shown"
    text = " ".join(str(text).split())[:MAX_CHARS]
    text = text.encode("utf-8", "backslashreplace").decode()
    name = type(error).__name__
    return f"{name}: {text}" if text else name
