"""Keeps the C library from handing memory back to the system between two training steps."""

import ctypes
from functools import cache

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # of mallopt(3)
_KEPT = 2**30  # bytes
_MOST_OF_OLDER_VERSIONS = 2**25


@cache
def keep_freed_memory() -> None:
    """Let this process reuse what a step has freed; does nothing where the C library is not glibc.

    Every step allocates and frees the same activations. By its defaults glibc returns large ones to the system,
    depending on what was allocated before, and pays for them page by page at the next step.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # musl, macOS, Windows
        return
    if not mallopt(_M_MMAP_THRESHOLD, _KEPT):
        mallopt(_M_MMAP_THRESHOLD, _MOST_OF_OLDER_VERSIONS)
    mallopt(_M_TRIM_THRESHOLD, _KEPT)
