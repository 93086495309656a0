"""Migrations of the schema: numbered files that are applied once, in order, and never change afterwards."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

from sinks.sink import Sink, SinkRejected

FOLDER = Path(__file__).with_name("migrations")

LEDGER = """\
CREATE TABLE IF NOT EXISTS schema_migrations
(number UInt32, name String, checksum String, applied_at DateTime64(3, 'UTC') DEFAULT now64(3))
ENGINE = ReplacingMergeTree ORDER BY number"""

_STATEMENT_END = re.compile(r";\s*(?:\n|$)")
_FILE_NAME = re.compile(r"(\d{4})_([a-z0-9_]+)\.sql")


@dataclass(frozen=True, slots=True)
class Migration:
    """One numbered step; ``checksum`` is the SHA-256 of its text."""

    number: int
    name: str
    text: str

    @property
    def checksum(self) -> str:
        return hashlib.sha256(self.text.encode()).hexdigest()

    @property
    def statements(self) -> list[str]:
        """Its statements, without comment lines. Each ends with a semicolon at the end of a line."""
        bare = "\n".join(line for line in self.text.splitlines() if not line.lstrip().startswith("--"))
        return [statement.strip() for statement in _STATEMENT_END.split(bare) if statement.strip()]


def migrations(folder: Path = FOLDER) -> list[Migration]:
    """Every migration there is, in order. Raises ValueError where the numbers are not 1, 2, 3, ..."""
    numbered = []
    for path in sorted(folder.glob("*.sql")):
        name = _FILE_NAME.fullmatch(path.name)
        if name is None:
            raise ValueError(f"migration {path.name}: its name must be like 0001_tables.sql")
        numbered.append(Migration(int(name.group(1)), name.group(2), path.read_text(encoding="utf-8")))
    numbers = [migration.number for migration in numbered]
    if numbers != list(range(1, len(numbered) + 1)):
        raise ValueError(f"migrations must be numbered 1, 2, 3, ... without gaps, not {numbers}")
    return numbered


def migrate(sink: Sink, *, dry_run: bool = False, folder: Path = FOLDER) -> list[Migration]:
    """Applies what has not been applied; returns those steps; with ``dry_run`` nothing is applied.

    A step cut short is applied again as a whole: its statements do nothing where their object exists. Raises
    SinkRejected where an applied step differs from its file.
    """
    pending = pending_migrations(sink, folder)
    if dry_run:
        return pending
    sink.execute(LEDGER)
    for step in pending:
        for statement in step.statements:
            sink.execute(statement)
        sink.insert("schema_migrations", {"number": [step.number], "name": [step.name], "checksum": [step.checksum]})
    return pending


def check_schema(sink: Sink, *, folder: Path = FOLDER) -> None:
    """Raises SinkRejected where the schema is behind, ahead of, or other than this program's."""
    pending = pending_migrations(sink, folder)
    if pending:
        names = ", ".join(f"{step.number:04}_{step.name}" for step in pending)
        raise SinkRejected(f"the schema is behind: apply {names} with `creditmeter migrate`")


def pending_migrations(sink: Sink, folder: Path = FOLDER) -> list[Migration]:
    """The steps that have not been applied; raises SinkRejected where the applied ones are not this program's."""
    known = migrations(folder)
    applied = _applied(sink)
    for step in known:
        checksum = applied.get(step.number)
        if checksum is not None and checksum != step.checksum:
            raise SinkRejected(
                f"migration {step.number:04}_{step.name} was applied with another content: an applied migration never "
                "changes. Restore its file and add a new migration"
            )
    if max(applied, default=0) > len(known):
        raise SinkRejected(
            f"the schema is ahead: migration {max(applied):04} was applied by a newer creditmeter. Run that one"
        )
    return [step for step in known if step.number not in applied]


def _applied(sink: Sink) -> dict[int, str]:
    """Checksums of the applied steps, by number."""
    exists = sink.query("EXISTS TABLE schema_migrations", readonly=False)
    if not exists.rows[0][0]:
        return {}
    rows = sink.query("SELECT number, checksum FROM schema_migrations FINAL ORDER BY number", readonly=False).rows
    return {int(number): str(checksum) for number, checksum in rows}
