"""Import of a torchvision built for CUDA beside a torch built for the CPU.

The package index serves torchvision's CUDA build. Beside a CPU build of torch its compiled library cannot be loaded,
so the operators `torchvision::nms` and `torchvision::qnms` are never declared, and `import torchvision` fails at the
first Python function that is registered for one of them: "operator torchvision::nms does not exist". Declaring them is
all that the import needs; data sets, transforms and models work then (the operators, used by detection models, do not).
Where torchvision can be imported nothing is declared, which would conflict with its own declarations.
"""

import importlib
import sys
from types import ModuleType

_OPERATORS = ("nms", "qnms")


def import_torchvision() -> ModuleType:
    """Import torchvision, also where its compiled operators cannot be loaded; any other error is raised as it is."""
    try:
        return importlib.import_module("torchvision")
    except RuntimeError as error:
        if not any(f"operator torchvision::{name} does not exist" in str(error) for name in _OPERATORS):
            raise
    # A failed import leaves incomplete submodules behind, which would be reused.
    for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
        del sys.modules[name]
    import torch

    for name in _OPERATORS:
        if not hasattr(torch.ops.torchvision, name):  # torchvision's own schema
            torch.library.define(f"torchvision::{name}", "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    return importlib.import_module("torchvision")
