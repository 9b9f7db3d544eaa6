"""Mixed precision in one place."""

import torch


def autocast(device: torch.device, precision: str) -> torch.autocast:
    """Context that computes convolutions and matrix products in bfloat16; does nothing for float32."""
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == "bfloat16")
