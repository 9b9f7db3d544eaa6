"""A process that ends at a chosen file operation, without any cleaning up, as by a kill -9."""

import io
import os
import sys
from pathlib import Path

#: Functions that change files, in whatever module of C (or Rust: safetensors) they are.
OPERATIONS = {"open", "write", "flush", "close", "__exit__", "fsync", "replace", "rename", "unlink", "remove", "rmdir"}
OPERATIONS |= {"mkdir", "link", "symlink", "truncate", "ftruncate", "chmod", "fchmod", "utime", "sendfile"}
OPERATIONS |= {"copy_file_range", "serialize_file"}


def operations(function, *arguments):
    """Names of the file operations of a call, in their order."""
    return _traced(function, arguments, stop=None)


def crash(function, number, *arguments):
    """Call a function in this process, which ends before its file operation of this number, from 0.

    After an operation is before the next one. Of what was being written there is a part.
    """
    _traced(function, arguments, stop=number)


def _traced(function, arguments, stop):
    seen: list[str] = []

    def trace(frame, event, called):
        if event == "c_call" and called.__name__ in OPERATIONS and _of_a_file(called):
            if len(seen) == stop:
                _tear(frame, called)
                os._exit(99)
            seen.append(called.__name__)

    sys.setprofile(trace)
    try:
        function(*arguments)
    finally:
        sys.setprofile(None)
    return seen


def _of_a_file(called):
    of = getattr(called, "__self__", None)
    if type(of).__module__ == "_io":
        on_disk = of not in (sys.stdout, sys.stderr) and not isinstance(of, io.BytesIO | io.StringIO)
        return on_disk and (of.closed or of.writable())
    return getattr(of, "__name__", "") in ("posix", "_io", "io") or called.__name__ == "serialize_file"


def _tear(frame, called):
    if called.__name__ == "serialize_file":
        Path(frame.f_locals["filename"]).write_bytes(b"half")
    if called.__name__ == "write" and hasattr(called.__self__, "flush"):
        called.__self__.flush()
