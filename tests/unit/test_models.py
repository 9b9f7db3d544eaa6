"""The networks are the write-up's: shapes, parameter counts, initialisation, shortcuts."""

import pytest
import torch

from lib import models
from lib.system.errors import UserError

COUNTS = {"ConvNet": 266_378, "TwoLayerNet": 789_258, "VanillaCNN": 58_826, "ResNet-32": 464_154}


@pytest.mark.parametrize(("name", "count"), COUNTS.items())
def test_parameter_count_and_output_shape(name, count):
    model = models.build(name, seed=0, classes=10)
    assert models.parameter_count(model) == count
    assert model(torch.randn(3, 3, 32, 32)).shape == (3, 10)


def test_convnet_layers_have_the_published_shapes():
    weights = {n: tuple(p.shape[:2]) for n, p in models.build("ConvNet", 0, 10).named_parameters() if p.dim() > 1}
    assert weights == {
        "conv2d1.weight": (32, 3),
        "conv2d2.weight": (64, 32),
        "conv2d3.weight": (128, 64),
        "linear1.weight": (256, 512),
        "linear2.weight": (128, 256),
        "linear3.weight": (64, 128),
        "output.weight": (10, 64),
    }


@pytest.mark.parametrize("name", COUNTS)
def test_a_seed_gives_one_model_and_leaves_the_random_state_alone(name):
    before = torch.get_rng_state()
    one, same, other = (models.build(name, seed, 10) for seed in (1, 1, 2))
    assert torch.equal(before, torch.get_rng_state())
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), same.parameters(), strict=True))
    assert not torch.equal(one.output.weight, other.output.weight)


@pytest.mark.parametrize("name", COUNTS)
def test_the_memory_layout_does_not_change_the_function(name):
    model = models.build(name, 0, 10).eval()
    x = torch.randn(2, 3, 32, 32)
    expected = model(x)
    actual = model.to(memory_format=torch.channels_last)(x.to(memory_format=torch.channels_last))
    torch.testing.assert_close(actual, expected, rtol=1e-4, atol=1e-4)


def test_resnet_shortcut_has_no_parameters_and_pads_channels_on_both_sides():
    block = models.BasicBlock(16, 32, stride=2)
    x = torch.randn(2, 16, 8, 8)
    shortcut = block.shortcut(x)
    assert shortcut.shape == (2, 32, 4, 4)
    assert torch.equal(shortcut[:, 8:24], x[:, :, ::2, ::2])
    assert not shortcut[:, :8].any()
    assert not shortcut[:, 24:].any()


def test_resnet_convolutions_are_kaiming_normal():
    weight = models.build("ResNet-32", 0, 10).blocks[-1].conv2.weight
    assert weight.std().item() == pytest.approx((2 / (64 * 9)) ** 0.5, rel=0.02)


def test_unknown_model_names_the_known_ones():
    with pytest.raises(UserError, match=r"'ResNet'.*ResNet-32"):
        models.build("ResNet", 0, 10)
