"""Files that may hold anything: regular ones of a sane size alone, and YAML that means one thing."""

import errno
import glob
import os
import re
import shutil
import stat
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
import yaml
from filelock import FileLock, Timeout

from lib.system.errors import NoRoom, UserError, clipped, reason

#: Most bytes of a parameter file, of a record or another text, and of a run's tensors.
PARAMETERS, TEXT, TENSORS = 100_000, 500_000_000, 4_000_000_000


def regular(path: Path, most: int) -> Path:
    """Return `path`; OSError where it is no regular file (a pipe would wait, a device has no end) or is too large."""
    state = os.stat(path)
    if not stat.S_ISREG(state.st_mode):
        raise OSError(errno.EINVAL, "it is not a regular file", str(path))
    if state.st_size > most:
        raise OSError(errno.EFBIG, f"it has {state.st_size:,} bytes, more than the {most:,} expected", str(path))
    return path


class _Loader(yaml.SafeLoader):
    """YAML without what no parameter needs and readers take for something else.

    Refused are aliases and repeated keys. Dates, and numbers as `010` and `1:30` (8 and 90 to YAML), are texts.
    """

    def compose_node(self, parent, index):
        if self.check_event(yaml.AliasEvent):
            raise yaml.composer.ComposerError(None, None, "aliases are not supported", self.peek_event().start_mark)
        return super().compose_node(parent, index)

    def construct_mapping(self, node, deep=False):
        keys = Counter(key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode))
        if repeated := [key for key, times in keys.items() if times > 1]:
            raise yaml.constructor.ConstructorError(None, None, f"{repeated[0]!r} is set twice", node.start_mark)
        return super().construct_mapping(node, deep)


_WHOLE = r"[-+]?(?:0|[1-9][0-9]*)"
#: Text that is a number, also where PyYAML's own pattern lacks it (1e-3).
NUMBER = re.compile(rf"{_WHOLE}(?:\.[0-9]*)?(?:[eE][-+]?[0-9]+)?|[-+]?\.[0-9]+(?:[eE][-+]?[0-9]+)?")
_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in known if not tag.endswith((":int", ":float", ":timestamp", ":merge"))]
    for first, known in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver("tag:yaml.org,2002:int", re.compile(rf"{_WHOLE}$"), list("-+0123456789"))
_FLOAT = re.compile(rf"(?:{NUMBER.pattern}|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$")
_Loader.add_implicit_resolver("tag:yaml.org,2002:float", _FLOAT, list("-+.0123456789"))


def parse_yaml(content: bytes | str, name: str) -> Any:
    """Return what YAML text says; UserError, which calls the text `name`, where it is not valid or too long."""
    try:
        if len(content) > PARAMETERS:
            raise ValueError(f"it has more than {PARAMETERS:,} characters")
        text = content.decode("utf-8-sig") if isinstance(content, bytes) else content
        return yaml.load(text, _Loader)
    except UnicodeDecodeError as error:
        raise UserError(f"{name} is not UTF-8 text (byte {error.start}).") from None
    except RecursionError:
        raise UserError(f"{name} is nested too deeply.") from None
    except Exception as error:  # for a tag that does not fit, nearly any
        raise UserError(f"{name} is not valid YAML: {clipped(str(error))}.") from None


def write(file: Path, content: bytes) -> None:
    """Write a file whole: another program, and one that is killed, leaves the old content or the new one."""
    new = file.with_name(f"{file.name}.{os.getpid()}.tmp")
    file.parent.mkdir(parents=True, exist_ok=True)
    for left in file.parent.glob(f"{glob.escape(file.name)}.*.tmp"):
        if (pid := left.suffixes[-2][1:]).isdigit() and not psutil.pid_exists(int(pid)):  # it was killed
            left.unlink(missing_ok=True)
    try:
        with new.open("wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(new, file)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(file)) from error
    finally:
        with suppress(OSError):
            new.unlink(missing_ok=True)


def try_writing(*folders: Path) -> None:
    """Write a trial file to each folder and remove it: NoRoom before any work, where its results would be lost."""
    for trial in (folder / ".trial" for folder in folders):
        made = [folder for folder in trial.parents if not folder.exists()]
        try:
            write(trial, bytes(20_000_000))  # as much as a report, or a run with its checkpoint
            trial.unlink(missing_ok=True)  # another program may have tried too
            for folder in made:
                with suppress(OSError):  # not empty any more
                    folder.rmdir()
        except OSError as error:
            raise NoRoom(f"Outputs cannot be written to {trial.parent}: {reason(error)}.") from error


def lock(file: Path, timeout: float = 0) -> FileLock | None:
    """Lock a file; None while another program has it. The lock of a killed program is free at once."""
    file.parent.mkdir(parents=True, exist_ok=True)
    own = FileLock(file, thread_local=False)
    with suppress(Timeout):
        own.acquire(timeout=timeout)
    return own if own.is_locked else None


def unlock(own: FileLock) -> None:
    """Release a lock and remove its file; whoever waits for it locks a new one."""
    Path(own.lock_file).unlink(missing_ok=True)
    own.release()


@contextmanager
def only_program(file: Path, doing: str) -> Iterator[None]:
    """Hold a lock; UserError where another program holds it, which is `doing` something."""
    if (own := lock(file)) is None:
        raise UserError(f"Another program is {doing}; wait until it has ended, then run again.")
    try:
        yield
    finally:
        unlock(own)


@contextmanager
def replaced(folder: Path) -> Iterator[None]:
    """Move a folder aside while the block makes the new one; it comes back where the block fails.

    After a kill `restore` brings it back: while it lies aside, the new one is not complete.
    """
    restore(folder)
    old, gone = (folder.with_name(f".{name}-{folder.name}") for name in ("old", f"gone-{os.getpid()}"))
    if folder.exists():
        os.replace(folder, old)
    try:
        yield
    except BaseException:
        restore(folder)
        raise
    if old.exists():
        os.replace(old, gone)
        shutil.rmtree(gone, ignore_errors=True)


def restore(folder: Path) -> None:
    """Bring back what a killed `replaced` has left aside, and remove what it has left over."""
    for left in folder.parent.glob(f".gone-*-{folder.name}"):
        shutil.rmtree(left, ignore_errors=True)
    if (old := folder.with_name(f".old-{folder.name}")).exists():
        shutil.rmtree(folder, ignore_errors=True)
        os.replace(old, folder)
