"""The state of an unfinished run after its last finished epoch: one safetensors file, replaced whole."""

import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from lib.system.errors import NoRoom
from lib.training.results import Epoch, Weights


@dataclass
class Checkpoint:
    history: list[Epoch]
    best: Weights  # weights of the best epoch so far


def save(path: Path, key: str, model: nn.Module, optimizer: torch.optim.SGD, state: Checkpoint) -> None:
    """Write the checkpoint through a temporary file, so that a kill leaves the old one or the new one.

    Raises NoRoom where the disk is full or the folder cannot be written.
    """
    tensors = {f"model.{name}": value for name, value in model.state_dict().items()}
    tensors |= {f"best.{name}": value for name, value in state.best.items()}
    for name, parameter in model.named_parameters():
        momentum = optimizer.state[parameter].get("momentum_buffer")
        if momentum is not None:
            tensors[f"momentum.{name}"] = momentum
    history = json.dumps([epoch.model_dump() for epoch in state.history])
    temporary = path.with_suffix(f".{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # safetensors refuses views of shared memory and odd layouts: store plain copies.
        plain = {name: value.detach().cpu().contiguous().clone() for name, value in tensors.items()}
        metadata = {"key": key, "history": history, "digest": _digest(plain, history)}
        save_file(plain, temporary, metadata=metadata)
        os.replace(temporary, path)
    except (OSError, SafetensorError) as error:  # safetensors reports a full disk as either
        raise NoRoom(
            f"The state of run {key} could not be kept in {path.parent}: {error}. Make room and run again."
        ) from error
    finally:
        temporary.unlink(missing_ok=True)


def load(path: Path, key: str, model: nn.Module, optimizer: torch.optim.SGD) -> Checkpoint | None:
    """Restore model and optimiser in place; None where there is no usable checkpoint of this experiment."""
    if not path.exists():
        return None
    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
            if metadata.get("key") != key:
                return None
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        if metadata.get("digest") != _digest(tensors, metadata["history"]):
            raise ValueError("the digest does not match")
        history = [Epoch.model_validate(epoch) for epoch in json.loads(metadata["history"])]
    except (SafetensorError, ValueError, KeyError):
        path.unlink()  # a damaged checkpoint costs its epochs, not the run
        return None

    def part(prefix: str) -> Weights:
        return {n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)}

    model.load_state_dict(part("model."))
    momentum = part("momentum.")
    for name, parameter in model.named_parameters():
        if name in momentum:
            buffer = torch.empty_like(parameter).copy_(momentum[name])  # keeps device and layout
            optimizer.state[parameter]["momentum_buffer"] = buffer
    return Checkpoint(history, part("best."))


def finished_epochs(path: Path) -> list[Epoch]:
    """Epochs in a checkpoint, for a display of a run that goes on from it; empty where there is none."""
    try:
        with safe_open(path, "pt") as file:
            return [Epoch.model_validate(epoch) for epoch in json.loads((file.metadata() or {})["history"])]
    except (OSError, SafetensorError, ValueError, KeyError):
        return []


def _digest(tensors: dict[str, Tensor], history: str) -> str:
    digest = hashlib.sha256(history.encode())
    for name in sorted(tensors):
        digest.update(name.encode() + tensors[name].numpy().tobytes())
    return digest.hexdigest()
