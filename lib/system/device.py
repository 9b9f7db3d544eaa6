"""The device and the precision that this machine trains with."""

import hashlib
import os
import platform
from functools import cache
from pathlib import Path

import torch

#: x86 processors without these would emulate bfloat16, slower than float32.
_BF16_FLAGS = ("avx512_bf16", "amx_bf16")


def default_device() -> torch.device:
    """CUDA where there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def gpus() -> int:
    """CUDA devices that this process may use."""
    return torch.cuda.device_count() if torch.cuda.is_available() else 0


def cores() -> int:
    """CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@cache
def has_bfloat16(device_type: str) -> bool:
    """Return True where the hardware computes in bfloat16 itself, rather than emulating it."""
    if device_type == "cuda":
        return torch.cuda.get_device_capability()[0] >= 8
    cpuinfo = Path("/proc/cpuinfo")
    return cpuinfo.exists() and any(flag in cpuinfo.read_text() for flag in _BF16_FLAGS)


def describe() -> dict[str, str | int]:
    """The machine as a record keeps it: device, threads, platform and library versions."""
    device = default_device()
    name = torch.cuda.get_device_name() if device.type == "cuda" else _cpu_name()
    return {
        "device": f"{device.type}: {name}",
        "cores": cores(),
        "threads": torch.get_num_threads(),
        "platform": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "torch": torch.__version__,
        "instructions": _instructions(),
    }


@cache
def _instructions() -> str:
    """A digest of what the processor can do, which its name does not tell where a hypervisor masks it."""
    cpuinfo = Path("/proc/cpuinfo")
    text = cpuinfo.read_text() if cpuinfo.exists() else ""
    flags = next((line for line in text.splitlines() if line.startswith(("flags", "Features"))), "")
    kernels = torch.backends.cpu.get_cpu_capability()
    return f"{kernels} {hashlib.sha256(flags.encode()).hexdigest()[:8]}" if flags else kernels


def _cpu_name() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or "unknown processor"
