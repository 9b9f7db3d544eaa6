"""The loops that people use today, written as they write them."""

import logging
import warnings
from collections.abc import Iterator

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader

from benchmarks.loops import Contender, Steps, Task
from lib.data import Dataset, ImageSet
from lib.system import compat


class PILImages(torch.utils.data.Dataset):
    """Images as torchvision's CIFAR10 serves them: a PIL image made of an array, then the transforms."""

    def __init__(self, images: ImageSet, dataset: Dataset):
        transforms = compat.import_torchvision().transforms
        self.data = images.images.permute(0, 2, 3, 1).contiguous().numpy()
        self.targets = images.labels.tolist()
        self.transform = transforms.Compose(
            [
                transforms.RandomCrop(32, padding=4),
                transforms.RandomHorizontalFlip(),
                transforms.ToTensor(),
                transforms.Normalize(dataset.mean, dataset.std),
            ]
        )

    def __len__(self) -> int:
        return len(self.targets)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.transform(Image.fromarray(self.data[index])), self.targets[index]


class PlainLoop(Steps):
    """The field's loop (LDAM-DRW and many others): DataLoader, PIL transforms, loss and accuracy read every step.

    Args:
        workers: processes of the DataLoader.
        channels_last, precision: the flags that cost a user one line each.
    """

    def __init__(
        self, task: Task, seed: int = 0, *, workers: int = 0, channels_last: bool = False, precision: str = "float32"
    ):
        ours = {"read_every_step": True, "fused": False, "keep_memory": False}
        super().__init__(task, seed, channels_last=channels_last, precision=precision, **ours)
        torch.manual_seed(seed)
        self.optimizer = _sgd(self.model, task)
        self.loader = _loader(self, workers)

    def _autocast(self) -> torch.autocast:  # not this project's, which switches TF32 off on a GPU
        return torch.autocast(self.on.type, dtype=torch.bfloat16, enabled=self.experiment.precision == "bfloat16")

    def _batches(self) -> Iterator[tuple[Tensor, Tensor]]:
        while True:
            for inputs, targets in self.loader:
                yield inputs.to(self.on, non_blocking=True), targets.to(self.on, non_blocking=True)


class Lightning(Contender):
    """PyTorch Lightning's Trainer with the same model and loader, float32, and otherwise its own defaults."""

    def __init__(self, task: Task, seed: int = 0):
        super().__init__(task, seed)
        compat.import_torchvision()  # Lightning's metrics import it
        import pytorch_lightning

        for name in ("pytorch_lightning", "lightning.pytorch"):
            logging.getLogger(name).setLevel(logging.ERROR)
        warnings.filterwarnings("ignore", module="pytorch_lightning")
        pytorch_lightning.seed_everything(seed, verbose=False)
        self.lightning = pytorch_lightning
        self.module = _module(pytorch_lightning, self.model, task)
        self.loader = _loader(self, workers=0)

    def train(self, images: int) -> None:
        trainer = self.lightning.Trainer(
            max_epochs=-1,
            max_steps=-(-images // self.task.batch_size),
            accelerator="gpu" if self.on.type == "cuda" else "cpu",
            devices=1,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
        trainer.fit(self.module, self.loader)


def _module(lightning, network: torch.nn.Module, task: Task):
    class Module(lightning.LightningModule):
        def __init__(self):
            super().__init__()
            self.network = network

        def training_step(self, batch, _):
            inputs, targets = batch
            outputs = self.network(inputs)
            loss = F.cross_entropy(outputs, targets)
            self.log("train_loss", loss)
            self.log("train_accuracy", (outputs.argmax(1) == targets).float().mean())
            return loss

        def configure_optimizers(self):
            return _sgd(self.network, task)

    return Module()


def _loader(contender: Contender, workers: int) -> DataLoader:
    options = {"pin_memory": torch.cuda.is_available()}
    if workers:  # forked, as in a user's program on Linux; a spawned process, like ours, would spawn them
        options |= {"num_workers": workers, "persistent_workers": True, "multiprocessing_context": "fork"}
    images = PILImages(contender.images, contender.dataset)
    return DataLoader(images, contender.task.batch_size, shuffle=True, **options)


def _sgd(model: torch.nn.Module, task: Task) -> torch.optim.SGD:
    settings = task.experiment()
    return torch.optim.SGD(
        model.parameters(),
        lr=settings.learning_rate,
        momentum=settings.momentum,
        weight_decay=settings.weight_decay,
    )
