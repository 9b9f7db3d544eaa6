"""The networks of the write-up, each mapping images [N, 3, 32, 32] to logits [N, classes]."""

from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lib.system.errors import UserError


class ConvNet(nn.Module):
    """The write-up's ConvNet: three blocks of Conv2d -> ReLU -> MaxPool2d, then four linear layers.

    Kernel 3, stride 1, no padding; pooling 2 with stride 2; no dropout, no batch normalisation. 266,378 parameters for
    10 classes. Without `relu_between_linear` nothing stands between the linear layers: another reading of the write-up.
    """

    def __init__(self, classes: int, relu_between_linear: bool = True):
        super().__init__()
        self.relu_between_linear = relu_between_linear
        self.conv2d1 = nn.Conv2d(3, 32, 3)
        self.conv2d2 = nn.Conv2d(32, 64, 3)
        self.conv2d3 = nn.Conv2d(64, 128, 3)
        self.linear1 = nn.Linear(512, 256)
        self.linear2 = nn.Linear(256, 128)
        self.linear3 = nn.Linear(128, 64)
        self.output = nn.Linear(64, classes)

    def forward(self, x: Tensor) -> Tensor:
        for convolution in (self.conv2d1, self.conv2d2, self.conv2d3):
            # Pooling first: ReLU keeps the order, so the numbers and gradients are the same, and it has a
            # quarter of them to look at.
            x = F.relu(F.max_pool2d(convolution(x), 2), inplace=True)  # 32 -> 15 -> 6 -> 2 pixels
        x = x.flatten(1)  # 128 channels x 2 x 2 = 512
        for linear in (self.linear1, self.linear2, self.linear3):
            x = linear(x)
            if self.relu_between_linear:
                x = F.relu(x, inplace=True)
        return self.output(x)


class TwoLayerNet(nn.Module):
    """The course's first baseline: 3072 -> hidden -> sigmoid -> classes. 789,258 parameters."""

    def __init__(self, classes: int, hidden: int = 256):
        super().__init__()
        self.hidden = nn.Linear(3 * 32 * 32, hidden)
        self.output = nn.Linear(hidden, classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.output(torch.sigmoid(self.hidden(x.flatten(1))))


class VanillaCNN(nn.Module):
    """The course's second baseline: one 7x7 convolution to 32 channels, ReLU, max pool 2, one linear layer.

    58,826 parameters, which fixes what the description leaves open: no padding (32 -> 26 -> 13 pixels).
    """

    def __init__(self, classes: int):
        super().__init__()
        self.conv = nn.Conv2d(3, 32, 7)
        self.output = nn.Linear(32 * 13 * 13, classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.output(F.relu(F.max_pool2d(self.conv(x), 2), inplace=True).flatten(1))  # as in ConvNet


class BasicBlock(nn.Module):
    """Two 3x3 convolutions with batch normalisation and a parameter-free shortcut (option A).

    Where the shape changes, the shortcut takes every second pixel and fills the new channels with zeros,
    half before and half after, as in He et al. 2015, section 4.2.
    """

    def __init__(self, channels_in: int, channels: int, stride: int):
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, channels, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.stride = stride
        self.new_channels = channels - channels_in

    def shortcut(self, x: Tensor) -> Tensor:
        if self.stride == 1 and not self.new_channels:
            return x
        half = self.new_channels // 2
        return F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, half, self.new_channels - half))

    def forward(self, x: Tensor) -> Tensor:
        # In place where nobody needs the old value: the same numbers with less memory to write.
        y = F.relu(self.bn1(self.conv1(x)), inplace=True)
        y = self.bn2(self.conv2(y)).add_(self.shortcut(x))
        return F.relu(y, inplace=True)


class ResNet32(nn.Module):
    """CIFAR ResNet-32 (He et al. 2015): 3 stages of 5 basic blocks with 16, 32 and 64 channels.

    Convolutions and linear layer are initialised Kaiming-normal (fan in). 464,154 parameters for 10 classes.
    """

    def __init__(self, classes: int, blocks_per_stage: int = 5):
        super().__init__()
        self.conv = nn.Conv2d(3, 16, 3, padding=1, bias=False)
        self.bn = nn.BatchNorm2d(16)
        blocks, channels_in = [], 16
        for channels, first_stride in ((16, 1), (32, 2), (64, 2)):
            for position in range(blocks_per_stage):
                blocks.append(BasicBlock(channels_in, channels, first_stride if position == 0 else 1))
                channels_in = channels
        self.blocks = nn.Sequential(*blocks)
        self.output = nn.Linear(64, classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                nn.init.kaiming_normal_(module.weight)

    def forward(self, x: Tensor) -> Tensor:
        x = self.blocks(F.relu(self.bn(self.conv(x)), inplace=True))
        return self.output(x.mean(dim=(2, 3)))


class CosineOutput(nn.Module):
    """Last layer without a bias: logits are `scale` times the cosine of features [N, F] and class weights [C, F]."""

    def __init__(self, weight: Tensor, scale: float):
        super().__init__()
        self.weight, self.scale = nn.Parameter(weight.detach().clone()), scale  # Cao et al. start it at length 1

    def forward(self, x: Tensor) -> Tensor:
        return self.scale * F.linear(F.normalize(x), F.normalize(self.weight))


#: Every model by the name that parameter files use. A new model is added here; its last layer is `output`.
MODELS: dict[str, Callable[..., nn.Module]] = {
    "ConvNet": ConvNet,
    "ConvNet-linear": partial(ConvNet, relu_between_linear=False),
    "TwoLayerNet": TwoLayerNet,
    "VanillaCNN": VanillaCNN,
    "ResNet-32": ResNet32,
}


def build(name: str, seed: int, classes: int, cosine: float = 0.0) -> nn.Module:
    """Make the model `name`, its initial weights a function of `seed` alone; UserError for an unknown name.

    With `cosine` its last layer is a `CosineOutput` of this scale, with the same initial weights.
    """
    if name not in MODELS:
        raise UserError(f"There is no model {name!r}; known models: {', '.join(MODELS)}.")
    # A private stream: building a model neither depends on nor disturbs the caller's random state.
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)  # torch.manual_seed would reseed a GPU's stream too
        model = MODELS[name](classes=classes)
    if cosine:
        model.output = CosineOutput(model.get_parameter("output.weight"), cosine)
    return model


def parameter_count(model: nn.Module) -> int:
    """Number of trainable parameters."""
    return sum(p.numel() for p in model.parameters() if p.requires_grad)
