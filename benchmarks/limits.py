"""What the machine can do at most, and how much of it a model needs."""

import time
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch.utils.flop_counter import FlopCounterMode

from lib import models
from lib.system.memory import keep_freed_memory

#: Sides of square matrices; (channels, side, images) of 3x3 convolutions.
_MATRICES = (512, 1024, 2048)
_CONVOLUTIONS = ((16, 32, 32), (64, 32, 64), (128, 16, 64), (256, 16, 32))


def matrix_product_rate(precision: str, on: torch.device) -> float:
    """Largest rate of a product of two square matrices, FLOP/s (a multiplication and an addition are two)."""
    dtype = getattr(torch, precision)

    def rate(n: int) -> float:
        a, b = torch.randn(n, n, device=on).to(dtype), torch.randn(n, n, device=on).to(dtype)
        return 2 * n**3 / _seconds(lambda: a @ b, on)

    return max(rate(n) for n in _MATRICES)


def convolution_rate(precision: str, on: torch.device) -> float:
    """Largest rate of a 3x3 convolution, channels-last and forward, FLOP/s."""
    dtype = getattr(torch, precision)

    def rate(channels: int, side: int, images: int) -> float:
        x = torch.randn(images, channels, side, side, device=on).to(dtype, memory_format=torch.channels_last)
        w = torch.randn(channels, channels, 3, 3, device=on).to(dtype, memory_format=torch.channels_last)
        return 2 * images * side**2 * 9 * channels**2 / _seconds(lambda: F.conv2d(x, w, padding=1), on)

    return max(rate(*shape) for shape in _CONVOLUTIONS)


@torch.inference_mode()
def _seconds(call: Callable[[], object], on: torch.device, repeats: int = 9) -> float:
    """The shortest of several timings: this asks for a limit, not for what is usual."""
    keep_freed_memory()
    times = []
    for _ in range(repeats + 2):
        start = time.perf_counter()
        call()
        if on.type == "cuda":
            torch.cuda.synchronize()
        times.append(time.perf_counter() - start)
    return min(times[2:])


def flops_per_image(model: str) -> int:
    """Floating-point operations of one training step per image, forward and backward; convolutions and products."""
    network = models.build(model, seed=0)
    with FlopCounterMode(display=False) as counter:  # two images, as BatchNorm does not train on one pixel
        network(torch.zeros(2, 3, 32, 32)).sum().backward()
    return counter.get_total_flops() // 2
