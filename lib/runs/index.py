"""Index of the runs of a store: one row per run, kept beside the folder so that ten thousand are listed in a moment.

It is only a cache. A row counts while its record.json has the same time and size; rows of another layout, and a damaged
file, are read from the records again.
"""

import inspect
import json
import re
import sqlite3
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any

from lib.experiment import Experiment
from lib.training import Record

Row = dict[str, Any]
_KEY = re.compile(r"[0-9a-f]{16}")


def row(record: Record) -> Row:
    """Return a record's row in the store's data frame."""
    return {
        "key": record.key,
        **record.experiment.model_dump(mode="json"),
        "best_epoch": record.best.epoch,
        "best_accuracy": record.best.test.accuracy,
        "last_accuracy": record.last.test.accuracy,
        "wall_time": record.wall_time,
        "finished": record.finished,
        "origin": record.origin,
    }


@cache
def _layout(make: Callable[[Record], Row], fields: tuple[str, ...]) -> int:
    """Return the layout's number: a checksum over the source of `row` and the experiment's fields."""
    return zlib.crc32(f"{inspect.getsource(make)}{fields}".encode()) >> 1  # SQLite's user_version is signed


def rows(folder: Path, read: Callable[[Path], Record | None]) -> list[Row]:
    """Return one row per run in `folder`.

    Args:
        read: reads a run's record from its folder; None where there is none.
    """
    stamps = dict(_stamps(folder))
    known = _known(folder)
    found = {key: own for key, (stamp, own) in known.items() if stamps.get(key) == stamp}
    fresh = {key: row(record) for key in stamps.keys() - found.keys() if (record := read(folder / key))}
    if fresh or known.keys() - stamps.keys():
        _keep(folder, {key: (stamps[key], own) for key, own in fresh.items()}, gone=known.keys() - stamps.keys())
    return [*found.values(), *fresh.values()]


def file_of(folder: Path) -> Path:
    """Return the file of a folder's index; it may be removed at any time."""
    return folder.with_name(f".{folder.name}.sqlite")


def note(folder: Path, record: Record) -> None:
    """Keep the row of a run that was just stored."""
    with suppress(OSError):  # another program may have set it aside
        _keep(folder, {record.key: (_stamp(folder / record.key / "record.json"), row(record))})


def _stamps(folder: Path) -> Iterator[tuple[str, str]]:
    for path in folder.iterdir() if folder.is_dir() else ():
        if _KEY.fullmatch(path.name):
            with suppress(OSError):
                yield path.name, _stamp(path / "record.json")


def _stamp(file: Path) -> str:
    state = file.stat()
    return f"{state.st_mtime_ns}:{state.st_size}"


@contextmanager
def _table(folder: Path) -> Iterator[sqlite3.Connection]:
    layout = _layout(row, tuple(Experiment.model_fields))
    with closing(sqlite3.connect(file_of(folder), timeout=5)) as connection:
        connection.execute("PRAGMA synchronous = OFF")  # losing it costs a listing, not a run
        if connection.execute("PRAGMA user_version").fetchone()[0] != layout:
            connection.execute("DROP TABLE IF EXISTS run")
            connection.execute(f"PRAGMA user_version = {layout}")
        connection.execute("CREATE TABLE IF NOT EXISTS run (key TEXT PRIMARY KEY, stamp TEXT, row TEXT)")
        with connection:
            yield connection


def _known(folder: Path) -> dict[str, tuple[str, Row]]:
    try:
        with _table(folder) as connection:
            kept = connection.execute("SELECT key, stamp, row FROM run")
            return {key: (stamp, json.loads(own)) for key, stamp, own in kept}
    except (OSError, sqlite3.OperationalError):  # locked, or a disk that cannot be written
        return {}
    except (sqlite3.DatabaseError, ValueError):  # damaged: made anew
        with suppress(OSError):
            file_of(folder).unlink()
        return {}


def _keep(folder: Path, fresh: Mapping[str, tuple[str, Row]], gone: Iterable[str] = ()) -> None:
    with suppress(OSError, sqlite3.Error), _table(folder) as connection:
        connection.executemany("DELETE FROM run WHERE key = ?", [(key,) for key in gone])
        connection.executemany(
            "INSERT OR REPLACE INTO run VALUES (?, ?, ?)",
            [(key, stamp, json.dumps(own)) for key, (stamp, own) in fresh.items()],
        )
