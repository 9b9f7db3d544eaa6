"""Mixed precision in one place."""

import torch


def autocast(device: torch.device, precision: str) -> torch.autocast:
    """Context that computes convolutions and matrix products in bfloat16; does nothing for float32.

    float32 is meant: on CUDA, torch would otherwise round the inputs of convolutions to TF32's 10 bits.
    """
    torch.backends.cudnn.allow_tf32 = False
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == "bfloat16")
