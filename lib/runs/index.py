"""Index of the runs of a store: one row per run, in a file beside the folder, so that ten thousand are soon listed.

It is only a cache, to which lines are appended: a checksum and JSON. A row counts while its record.json has the same
time and size; rows of another layout and damaged lines are ignored, and their records read again.
"""

import inspect
import json
import zlib
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from lib.experiment import Experiment
from lib.system import files
from lib.training import Record

Row = dict[str, Any]
RECORDS = f"{'[0-9a-f]' * 16}/record.json"  # pattern of the records in a store's folder


def row(record: Record) -> Row:
    """Return a record's row in the store's data frame."""
    return {
        "key": record.key,
        **record.experiment.model_dump(mode="json"),
        "method": record.experiment.loss_name,
        "best_epoch": record.best.epoch,
        "best_accuracy": record.best.test.accuracy,
        "last_accuracy": record.last.test.accuracy,
        "wall_time": record.wall_time,
        "finished": record.finished,
        "origin": record.origin,
    }


def rows(folder: Path, read: Callable[[Path], Record | None]) -> list[Row]:
    """Return one row per run in `folder`; `read` returns the record in a run's folder, None where there is none."""
    stamps, found, lines = _stamps(folder, RECORDS), {}, []
    with suppress(OSError):
        lines = files.regular(file_of(folder), files.TEXT).read_text("utf-8", "replace").splitlines()
    for line in lines:
        with suppress(ValueError, TypeError, KeyError, AttributeError, RecursionError):
            stamp = json.loads(line[8:]) if _sum(line[8:]) == line[:8] else {}  # damaged, or cut short by a kill
            own = stamp.pop("row")
            if stamps[own["key"]] == stamp and isinstance(own["finished"], str):
                found[own["key"]] = own
    fresh = [row(record) for key in stamps.keys() - found.keys() if (record := read(folder / key))]
    if fresh:
        _append(folder, stamps, fresh)
    return [*found.values(), *fresh]


def file_of(folder: Path) -> Path:
    """Return the file of a folder's index; it may be removed at any time."""
    return folder.with_name(f".{folder.name}.index.jsonl")


def note(folder: Path, record: Record) -> None:
    """Keep the row of a run that was just stored."""
    _append(folder, _stamps(folder, f"{record.key}/record.json"), [row(record)])


def _stamps(folder: Path, records: str) -> dict[str, dict[str, Any]]:
    """Return time and size of each record, and the layout of its row, by key."""
    layout, found = zlib.crc32(f"{inspect.getsource(row)}{list(Experiment.model_fields)}".encode()), {}
    for file in folder.glob(records):
        with suppress(OSError):  # another program may have set it aside
            state = file.stat()
            found[file.parent.name] = {"layout": layout, "stamp": f"{state.st_mtime_ns}:{state.st_size}"}
    return found


def _append(folder: Path, stamps: dict[str, dict[str, Any]], found: Sequence[Row]) -> None:
    lines = [json.dumps({**stamps[own["key"]], "row": own}) for own in found if own["key"] in stamps]
    with suppress(OSError):
        with suppress(FileNotFoundError):
            files.regular(file_of(folder), files.TEXT)
        with file_of(folder).open("a", encoding="utf-8") as stream:
            stream.write("".join(f"\n{_sum(line)}{line}" for line in lines))  # the last line may have been cut short


def _sum(line: str) -> str:
    return f"{zlib.crc32(line.encode()):08x}"
