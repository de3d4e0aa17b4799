"""Where the traffic rules are kept, with the log of who changed them: one SQLite file.

A change is one transaction: the rules of a model, the line of the audit log, and the revision that
counts all changes. So a crash leaves the old rules or the new ones, and the log says which. The
file is made at the first change. Several servers may share it, on one machine.

A disk that cannot be written to is no reason to forget the rules: then they are read all the same.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import quote

import msgspec
from pydantic import ValidationError

from serve.config.traffic import Guards, Traffic
from serve.errors import RepositoryError, Unavailable
from serve.traffic.state import Audit, ModelState, TrafficState

__all__ = ["STATE", "StaleError", "Store"]

STATE = Path(".penstock", "state.sqlite3")
"""The file in a repository, if no other was named."""
SCHEMA = 1
APPLICATION = 0x50454E53
"""Says of a SQLite file whose it is."""
BUSY_S = 5.0
TABLES = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT;
CREATE TABLE model (name TEXT PRIMARY KEY, state TEXT NOT NULL) STRICT;
CREATE TABLE audit (
    number INTEGER PRIMARY KEY AUTOINCREMENT, time_s REAL NOT NULL, who TEXT NOT NULL,
    model TEXT NOT NULL, what TEXT NOT NULL, why TEXT NOT NULL,
    before TEXT NOT NULL, after TEXT NOT NULL
) STRICT;
CREATE INDEX audit_of_model ON audit (model, number);
CREATE TABLE lease (one INTEGER PRIMARY KEY CHECK (one = 1), owner TEXT NOT NULL,
    until_s REAL NOT NULL) STRICT;
"""


class StaleError(Exception):
    """Another server has changed the rules since: read them again, and decide anew."""


class Store:
    """The file. Every method blocks on the disk, and all are called in one thread at a time."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._open: sqlite3.Connection | None = None
        self._writable = False
        self._file: tuple[int, int] | None = None
        self._version = -1

    def load(self) -> TrafficState:
        """The rules as they are; none, if there has never been a file.

        Raises:
            RepositoryError: the file is damaged, of a newer release, or was removed.
        """
        if self._is_new():
            return TrafficState()
        with self._errors("cannot be read"):
            connection = self._connection()
            version = self._data_version()  # before: what is written meanwhile is seen next time
            with connection:
                connection.execute("BEGIN")
                revision = self._revision(connection)
                rows = connection.execute("SELECT name, state FROM model").fetchall()
            self._version = version
        return TrafficState(
            revision=revision, models={name: self._rules(name, text) for name, text in rows}
        )

    def changed(self) -> bool:
        """Whether another process has written since the last look. An error counts as no."""
        try:
            if self._open is None or not self._is_same():
                return self.path.exists()
            seen, self._version = self._version, self._data_version()
        except (sqlite3.Error, OSError, RepositoryError):
            return False
        return seen != self._version

    def commit(self, revision: int, state: ModelState | None, line: Audit) -> Audit:
        """Write a model's state (None: as its ``model.yaml`` says) and the line of the log.

        ``revision`` is that of the rules that the change was made of. Gives the line, with its
        number.

        Raises:
            StaleError: there is another by now.
            Unavailable: it cannot be written; nothing has been.
        """
        with self._errors("cannot be written", writing=True):
            connection = self._connection(writing=True)
            with connection:
                connection.execute("BEGIN IMMEDIATE")
                if self._revision(connection) != revision:
                    raise StaleError
                if state is None:
                    connection.execute("DELETE FROM model WHERE name = ?", (line.model,))
                else:
                    connection.execute(
                        "INSERT OR REPLACE INTO model VALUES (?, ?)", (line.model, _text(state))
                    )
                number = connection.execute(
                    "INSERT INTO audit (time_s, who, model, what, why, before, after)"
                    " VALUES (?, ?, ?, ?, ?, ?, ?)",
                    (
                        line.time_s,
                        line.who,
                        line.model,
                        line.what,
                        line.why,
                        _text(line.before),
                        _text(line.after),
                    ),
                ).lastrowid
                connection.execute(
                    "UPDATE meta SET value = ? WHERE key = 'revision'", (revision + 1,)
                )
            return msgspec.structs.replace(line, number=number or 0)

    def lease(self, owner: str, now_s: float, for_s: float) -> bool:
        """Whether ``owner`` is, for so long, the one of those who share the file that judges.

        True where there is no file, and where it cannot be written: then nobody else can either.
        """
        if self._is_new():
            return True
        try:
            connection = self._connection(writing=True)
            with connection:
                connection.execute("BEGIN IMMEDIATE")
                row = connection.execute("SELECT owner, until_s FROM lease").fetchone()
                # A lease that ends later than any could be is of a clock that was put back.
                held = row is not None and now_s < row[1] <= now_s + 2 * for_s
                if held and row[0] != owner:
                    return False
                if not held or row[1] - now_s < for_s / 2:
                    connection.execute(
                        "INSERT OR REPLACE INTO lease VALUES (1, ?, ?)", (owner, now_s + for_s)
                    )
        except (sqlite3.Error, OSError, RepositoryError):
            return True
        return True

    def audit(self, model: str = "", limit: int = 100, before: int = 0) -> list[Audit]:
        """Lines of the log, the newest first: of one model, and before a number, if given.

        Raises:
            RepositoryError: the file is damaged, or of a newer release.
        """
        if self._is_new():
            return []
        query = (
            "SELECT number, time_s, who, model, what, why, before, after FROM audit"
            " WHERE (? = '' OR model = ?) AND (? = 0 OR number < ?) ORDER BY number DESC LIMIT ?"
        )
        with self._errors("cannot be read"):
            rows = (
                self._connection().execute(query, (model, model, before, before, limit)).fetchall()
            )
        return [
            Audit(
                number=row[0],
                time_s=row[1],
                who=row[2],
                model=row[3],
                what=row[4],
                why=row[5],
                before=self._state(row[6]),
                after=self._state(row[7]),
            )
            for row in rows
        ]

    def close(self) -> None:
        """Let go of the file."""
        if self._open is not None:
            self._open.close()
            self._open = None

    # inside

    def _is_new(self) -> bool:
        """Whether there is no file, and has been none."""
        return self._file is None and not self.path.exists()

    def _is_same(self) -> bool:
        """Whether the file that is open is still the one of that name."""
        with suppress(FileNotFoundError):
            now = self.path.stat()
            return (now.st_dev, now.st_ino) == self._file
        return False

    def _connection(self, *, writing: bool = False) -> sqlite3.Connection:
        """The file opened; made if it is not there, and never was."""
        if self._open is not None and (not self._is_same() or (writing and not self._writable)):
            self.close()
        if self._open is not None:
            return self._open
        if self._file is not None and not self.path.exists():
            # To go on with a new one would lose the rules silently, or drop those that count.
            raise FileNotFoundError(
                "it was removed; put it back, or start the server again to go back to model.yaml"
            )
        try:
            self._open, self._writable = self._opened(), True
        except (sqlite3.OperationalError, OSError):
            if writing or not self.path.exists():
                raise
            self._open, self._writable = self._opened_to_read(), False
        now = self.path.stat()
        self._file = (now.st_dev, now.st_ino)
        return self._open

    def _opened(self) -> sqlite3.Connection:
        parent = self.path.parent
        parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # Made before SQLite would, so that nobody else may ever read it. One that is there is not
        # opened: to close it again would end all locks that this process has on it.
        with suppress(FileExistsError):
            os.close(os.open(self.path, os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        connection = self._connect("rw")
        try:
            self._check(connection)
            # Not WAL: changes are rare, and so there is one file, which can be copied, put back
            # and read from a disk that cannot be written to.
            connection.execute("PRAGMA journal_mode = DELETE")
            connection.execute("PRAGMA synchronous = EXTRA")
            with connection:
                connection.execute("BEGIN IMMEDIATE")
                if not self._check(connection):
                    for statement in TABLES.split(";"):
                        connection.execute(statement)
                    connection.execute("INSERT INTO meta VALUES ('revision', 0)")
                    connection.execute(f"PRAGMA user_version = {SCHEMA}")
                    connection.execute(f"PRAGMA application_id = {APPLICATION}")
        except BaseException:
            connection.close()
            raise
        return connection

    def _opened_to_read(self) -> sqlite3.Connection:
        """The file of a disk that cannot be written to."""
        connection = self._connect("ro")
        try:
            if not self._check(connection):
                raise sqlite3.OperationalError("it is empty")
        except BaseException:
            connection.close()
            raise
        return connection

    def _connect(self, mode: str) -> sqlite3.Connection:
        return sqlite3.connect(
            f"file:{quote(str(self.path.absolute()))}?mode={mode}",
            uri=True,
            timeout=BUSY_S,
            isolation_level=None,
            check_same_thread=False,
        )

    def _check(self, connection: sqlite3.Connection) -> bool:
        """Whether the tables are there; refuses a file of a newer release, or of other software."""
        known = connection.execute("PRAGMA user_version").fetchone()[0]
        ours = connection.execute("PRAGMA application_id").fetchone()[0] == APPLICATION
        filled = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
        if filled and not ours:
            raise self._unusable("is of other software")
        if known > SCHEMA:
            raise self._unusable(f"is of a newer release (schema {known}, not {SCHEMA})")
        return bool(filled)

    def _revision(self, connection: sqlite3.Connection) -> int:
        row = connection.execute("SELECT value FROM meta WHERE key = 'revision'").fetchone()
        return int(row[0])

    def _data_version(self) -> int:
        return int(self._connection().execute("PRAGMA data_version").fetchone()[0])

    def _rules(self, model: str, text: str) -> ModelState:
        """A state that gateways can follow."""
        state = self._state(text)
        try:
            Traffic.model_validate(state.traffic or {})
            if state.rollout is not None:
                Guards.model_validate(dict(state.rollout.guards or {}))
        except ValidationError as error:
            raise self._unusable(
                f"has rules of '{model}' that this release does not know:"
                f" {error.errors()[0]['msg']}"
            ) from None
        return state

    def _state(self, text: str) -> ModelState:
        try:
            return msgspec.json.decode(text, type=ModelState)
        except msgspec.MsgspecError as error:
            raise self._unusable(f"is damaged: {error}") from None

    @contextmanager
    def _errors(self, problem: str, *, writing: bool = False) -> Iterator[None]:
        """What the disk or SQLite says, as the error of this file."""
        try:
            yield
        except (sqlite3.OperationalError, OSError) as error:
            self.close()
            if not writing:
                raise self._unusable(f"{problem}: {error}") from error
            raise Unavailable(
                f"nothing is changed, because {self.path} {problem}: {error}; let the server write"
                " there, or name another file with --state"
            ) from error
        except sqlite3.DatabaseError as error:
            self.close()
            raise self._unusable(f"is damaged: {error}") from error

    def _unusable(self, problem: str) -> RepositoryError:
        return RepositoryError(
            path=str(self.path),
            problem=problem,
            remedy="restore the file, name another one with --state, or move it away to go back"
            " to the labels and traffic of model.yaml",
        )


def _text(state: ModelState) -> str:
    return msgspec.json.encode(state).decode()
