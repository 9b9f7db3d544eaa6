"""Rows about the runs of a store, kept beside it so that ten thousand are listed in a moment.

The index is only a cache: a row counts as long as its record.json has the same time and size, and a missing, damaged
or outdated index is made again from the records.
"""

import json
import re
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

Row = dict[str, Any]
_KEY = re.compile(r"[0-9a-f]{16}")


def rows(folder: Path, read: Callable[[Path], Row | None], layout: int) -> list[Row]:
    """One row per run in `folder`.

    Args:
        read: a run's row from its folder; None where there is none.
        layout: identifies the content of a row, 32 bits; with another one all rows are read again.
    """
    stamps = dict(_stamps(folder))
    known = _known(folder, layout)
    found = {key: row for key, (stamp, row) in known.items() if stamps.get(key) == stamp}
    fresh = {key: row for key in stamps.keys() - found.keys() if (row := read(folder / key))}
    if fresh or known.keys() - stamps.keys():
        _keep(folder, layout, {key: (stamps[key], row) for key, row in fresh.items()}, known.keys() - stamps.keys())
    return [*found.values(), *fresh.values()]


def file_of(folder: Path) -> Path:
    """Where the rows about a folder are kept; it may be removed at any time."""
    return folder.with_name(f".{folder.name}.sqlite")


def note(folder: Path, key: str, row: Row, layout: int) -> None:
    """Keep the row of a run that was just stored."""
    with suppress(OSError):  # another program may have set it aside
        _keep(folder, layout, {key: (_stamp(folder / key / "record.json"), row)})


def _stamps(folder: Path) -> Iterator[tuple[str, str]]:
    for path in folder.iterdir() if folder.is_dir() else ():
        if _KEY.fullmatch(path.name):
            with suppress(OSError):
                yield path.name, _stamp(path / "record.json")


def _stamp(file: Path) -> str:
    state = file.stat()
    return f"{state.st_mtime_ns}:{state.st_size}"


@contextmanager
def _table(folder: Path, layout: int) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(file_of(folder), timeout=5)) as connection:
        connection.execute("PRAGMA synchronous = OFF")  # losing it costs a listing, not a run
        if connection.execute("PRAGMA user_version").fetchone()[0] != layout:
            connection.execute("DROP TABLE IF EXISTS run")
            connection.execute(f"PRAGMA user_version = {layout}")
        connection.execute("CREATE TABLE IF NOT EXISTS run (key TEXT PRIMARY KEY, stamp TEXT, row TEXT)")
        with connection:
            yield connection


def _known(folder: Path, layout: int) -> dict[str, tuple[str, Row]]:
    try:
        with _table(folder, layout) as connection:
            kept = connection.execute("SELECT key, stamp, row FROM run")
            return {key: (stamp, json.loads(row)) for key, stamp, row in kept}
    except (OSError, sqlite3.OperationalError):  # locked, or a disk that cannot be written
        return {}
    except (sqlite3.DatabaseError, ValueError):  # damaged: made anew
        with suppress(OSError):
            file_of(folder).unlink()
        return {}


def _keep(folder: Path, layout: int, fresh: Mapping[str, tuple[str, Row]], gone: Iterable[str] = ()) -> None:
    with suppress(OSError, sqlite3.Error), _table(folder, layout) as connection:
        connection.executemany("DELETE FROM run WHERE key = ?", [(key,) for key in gone])
        connection.executemany(
            "INSERT OR REPLACE INTO run VALUES (?, ?, ?)",
            [(key, stamp, json.dumps(row)) for key, (stamp, row) in fresh.items()],
        )
