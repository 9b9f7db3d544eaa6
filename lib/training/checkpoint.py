"""The state of an unfinished run after its last finished epoch: one safetensors file, replaced whole."""

import hashlib
import json
import os
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import safetensors.torch
import torch
from pydantic import TypeAdapter
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from lib.system import files
from lib.system.errors import NoRoom, reason
from lib.training.results import Epoch, Part, Weights


@dataclass
class Checkpoint:
    history: list[Epoch]
    best: Weights  # weights of the best epoch so far
    parts: list[Part]  # see Record

    @property
    def done(self) -> int:
        """The number of epochs that are trained: the last one that was evaluated."""
        return self.history[-1].epoch if self.history else 0


def save(path: Path, key: str, model: nn.Module, optimizer: torch.optim.SGD, state: Checkpoint) -> None:
    """Write the checkpoint whole, or leave the old one; NoRoom where it cannot be written, as on a full disk."""
    tensors = {f"model.{name}": value for name, value in model.state_dict().items()}
    tensors |= {f"best.{name}": value for name, value in state.best.items()}
    for name, parameter in model.named_parameters():
        if (momentum := optimizer.state[parameter].get("momentum_buffer")) is not None:
            tensors[f"momentum.{name}"] = momentum
    history = json.dumps([epoch.model_dump() for epoch in state.history])
    # safetensors refuses views of shared memory and odd layouts: store plain copies.
    plain = {name: value.detach().cpu().contiguous().clone() for name, value in tensors.items()}
    parts = json.dumps(state.parts)
    metadata = {"key": key, "history": history, "parts": parts, "digest": _digest(plain, history + parts)}
    try:
        files.write(path, safetensors.torch.save(plain, metadata))
    except OSError as error:
        raise NoRoom(f"The state of run {key} could not be kept in {path.parent}: {reason(error)}.") from error


def load(path: Path, key: str, model: nn.Module, optimizer: torch.optim.SGD) -> Checkpoint | None:
    """Restore model and optimiser in place; None where there is no checkpoint of this experiment.

    One that cannot be used is set aside, with a message: it costs its epochs, not the run.
    """
    try:
        with safe_open(files.regular(path, files.TENSORS), "pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        if metadata["key"] != key:
            raise ValueError(f"it is of run {metadata['key']}")
        if metadata["digest"] != _digest(tensors, metadata["history"] + metadata.get("parts", "")):
            raise ValueError("its checksum is wrong")
        history = [Epoch.model_validate(epoch) for epoch in json.loads(metadata["history"])]
        numbers = [epoch.epoch for epoch in history]
        if numbers != sorted(set(numbers)):
            raise ValueError("its epochs are not in order")
        done = TypeAdapter(list[Part]).validate_json(metadata.get("parts", f"[[{max(numbers, default=1)}, {{}}]]"))
        if not all(tensor.isfinite().all() for tensor in tensors.values()):
            raise ValueError("it holds values that are not finite")
        parts: dict[str, Weights] = {"model": {}, "best": {}, "momentum": {}}
        for name, tensor in tensors.items():
            part, _, rest = name.partition(".")
            parts[part][rest] = tensor
        shapes = {name: value.shape for name, value in model.state_dict().items()}
        if any({name: value.shape for name, value in parts[part].items()} != shapes for part in ("model", "best")):
            raise ValueError("its weights are not those of this model")
    except (OSError, SafetensorError, ValueError, KeyError, TypeError, RecursionError) as error:
        if not os.path.lexists(path):
            return None
        aside = path.with_suffix(".unusable")
        print(f"The checkpoint {path.name} cannot be used ({reason(error)}); the run starts anew.", file=sys.stderr)
        with suppress(OSError):
            os.replace(path, aside)
            print(f"It is set aside as {aside.name}.", file=sys.stderr)
        return None
    model.load_state_dict(parts["model"])
    for name, parameter in model.named_parameters():
        if name in parts["momentum"]:
            buffer = torch.empty_like(parameter).copy_(parts["momentum"][name])  # keeps device and layout
            optimizer.state[parameter]["momentum_buffer"] = buffer
    return Checkpoint(history, parts["best"], done)


def finished_epochs(path: Path) -> list[Epoch]:
    """Epochs in a checkpoint, for a display of a run that goes on from it; empty where there is none."""
    try:
        with safe_open(files.regular(path, files.TENSORS), "pt") as file:
            return [Epoch.model_validate(epoch) for epoch in json.loads((file.metadata() or {})["history"])]
    except (OSError, SafetensorError, ValueError, KeyError, TypeError, RecursionError):
        return []


def finished(path: Path) -> int:
    """Return the number of epochs that a checkpoint holds; 0 where there is none."""
    return max((epoch.epoch for epoch in finished_epochs(path)), default=0)


def _digest(tensors: dict[str, Tensor], history: str) -> str:
    digest = hashlib.sha256(history.encode())
    for name in sorted(tensors):
        digest.update(name.encode() + tensors[name].numpy().tobytes())
    return digest.hexdigest()
