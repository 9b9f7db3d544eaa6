"""Index of the runs of a store: one row per run, in a file beside the folder, so that ten thousand are soon listed.

It is only a cache, to which lines are appended: a checksum and JSON. A row counts while its record.json has the same
time and size; rows of another layout and damaged lines are ignored, and their records read again.
"""

import inspect
import json
import re
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from lib.experiment import Experiment
from lib.system import files
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


def _layout() -> int:
    """Return the layout's number: a checksum over the source of `row` and the experiment's fields."""
    return zlib.crc32(f"{inspect.getsource(row)}{list(Experiment.model_fields)}".encode())


def rows(folder: Path, read: Callable[[Path], Record | None]) -> list[Row]:
    """Return one row per run in `folder`.

    Args:
        read: reads a run's record from its folder; None where there is none.
    """
    stamps = dict(_stamps(folder))
    found = {own["key"]: own for stamp, own in _lines(folder) if stamps.get(own["key"]) == stamp}
    fresh = [row(record) for key in stamps.keys() - found.keys() if (record := read(folder / key))]
    if fresh:
        _append(folder, [(stamps[own["key"]], own) for own in fresh])
    return [*found.values(), *fresh]


def file_of(folder: Path) -> Path:
    """Return the file of a folder's index; it may be removed at any time."""
    return folder.with_name(f".{folder.name}.index.jsonl")


def note(folder: Path, record: Record) -> None:
    """Keep the row of a run that was just stored."""
    with suppress(OSError):  # another program may have set it aside
        _append(folder, [(_stamp(folder / record.key / "record.json"), row(record))])


def _stamps(folder: Path) -> Iterator[tuple[str, str]]:
    for path in folder.iterdir() if folder.is_dir() else ():
        if _KEY.fullmatch(path.name):
            with suppress(OSError):
                yield path.name, _stamp(path / "record.json")


def _stamp(file: Path) -> str:
    state = file.stat()
    return f"{state.st_mtime_ns}:{state.st_size}"


def _lines(folder: Path) -> Iterator[tuple[str, Row]]:
    """Yield time and size of a record and its row, oldest first."""
    layout, text = _layout(), ""
    with suppress(OSError):
        text = files.regular(file_of(folder), files.TEXT).read_text(errors="replace")
    for line in text.splitlines():
        if _sum(line[8:]) == line[:8]:  # not damaged, nor cut short by a kill
            entry = json.loads(line[8:])
            if entry["layout"] == layout:
                yield entry["stamp"], entry["row"]


def _append(folder: Path, found: Sequence[tuple[str, Row]]) -> None:
    layout = _layout()
    lines = [json.dumps({"layout": layout, "stamp": stamp, "row": own}) for stamp, own in found]
    with suppress(OSError):
        with suppress(FileNotFoundError):
            files.regular(file_of(folder), files.TEXT)
        with file_of(folder).open("a") as stream:
            stream.write("".join(f"\n{_sum(line)}{line}" for line in lines))  # the last line may have been cut short


def _sum(line: str) -> str:
    return f"{zlib.crc32(line.encode()):08x}"
