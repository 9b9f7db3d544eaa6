"""The device, the precision and the memory that this machine trains with."""

import ctypes
import hashlib
import os
import platform
from functools import cache
from pathlib import Path

import torch

_BF16_FLAGS = ("avx512_bf16", "amx_bf16")  # x86 processors without these would emulate bfloat16, slower than float32
#: What of `describe` decides the last digits of a run.
DECISIVE = ("device", "threads", "torch", "platform", "instructions")
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # of mallopt(3)


def default_device() -> torch.device:
    """CUDA where there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def cores() -> int:
    """CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@cache
def has_bfloat16(device_type: str) -> bool:
    """Return True where the hardware computes in bfloat16 itself, rather than emulating it."""
    if device_type == "cuda":
        return torch.cuda.get_device_capability()[0] >= 8
    return any(flag in _cpuinfo("flags") for flag in _BF16_FLAGS)


def describe() -> dict[str, str | int]:
    """The machine as a record keeps it: device, threads, platform and library versions."""
    device = default_device()
    cpu = _cpuinfo("model name").partition(":")[2].strip() or platform.processor() or "unknown processor"
    # The name does not tell what the processor can do where a hypervisor masks it.
    kernels, flags = torch.backends.cpu.get_cpu_capability(), _cpuinfo("flags", "Features")
    return {
        "device": f"{device.type}: {torch.cuda.get_device_name() if device.type == 'cuda' else cpu}",
        "cores": cores(),
        "threads": torch.get_num_threads(),
        "platform": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "torch": torch.__version__,
        "instructions": f"{kernels} {hashlib.sha256(flags.encode()).hexdigest()[:8]}" if flags else kernels,
    }


@cache
def _cpuinfo(*names: str) -> str:
    """Return the first line of /proc/cpuinfo that starts with one of the names; "" where there is none."""
    file = Path("/proc/cpuinfo")
    lines = file.read_text("utf-8", "replace").splitlines() if file.exists() else []
    return next((line for line in lines if line.startswith(names)), "")


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
    if not mallopt(_M_MMAP_THRESHOLD, 2**30):
        mallopt(_M_MMAP_THRESHOLD, 2**25)  # the most that older versions take
    mallopt(_M_TRIM_THRESHOLD, 2**30)
