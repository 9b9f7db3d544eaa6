"""The loops: turns, and the same work for each of them."""

import os
from functools import partial

import numpy as np
import pytest
import torch
import torch.nn.functional as functional

from benchmarks import contenders, process
from benchmarks.loops import Bare, Contender, Steps, Task, Whole
from benchmarks.peers import PILImages, PlainLoop
from lib import data, models
from lib.system.errors import UserError
from longtail_writeup.report import runner

TASK = Task("TwoLayerNet", batch_size=16, dataset="sample")


@pytest.fixture
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


class Noted(Contender):
    """Writes down whose turn it is."""

    def __init__(self, file, name):
        self.file, self.name = file, name

    def train(self, images):
        with open(self.file, "a") as stream:
            stream.write(f"{self.name}{images} ")


class Broken(Contender):
    def __init__(self):
        raise ValueError("no such layer")

    def train(self, images):
        pass


class Environment(Contender):
    def __init__(self):
        pass

    def train(self, images):
        return os.environ.get("WRITEUP_TEST_VARIABLE"), torch.get_num_threads()


def test_contenders_take_turns(tmp_path):
    file = tmp_path / "turns"
    rows = {name: process.Row(partial(Noted, file, name), threads=1) for name in "ab"}
    frame = process.in_turns(rows, images=7, repeats=2)
    assert file.read_text().split() == ["a1", "b1", "a7", "b7"] + ["a7", "b7"] * 2  # cold, warm-up, two turns
    assert list(frame.contender) == list("ab" * 3)
    assert list(frame.repeat) == [0, 0, 1, 1, 2, 2]
    measured = frame[frame.repeat > 0]
    np.testing.assert_allclose(measured.images_per_second, 7 / measured.seconds)


def test_workers_side_by_side_count_together(tmp_path):
    row = process.Row(partial(Noted, tmp_path / "turns", "w"), threads=1, workers=2)
    frame = process.in_turns({"w": row}, images=5, repeats=1)
    assert frame[frame.repeat == 1].images.item() == 10


def test_a_contender_that_fails_is_said_in_its_own_words():
    with process.Process(Broken, threads=1) as broken, pytest.raises(UserError, match="no such layer"):
        broken.ask("train", 1)


def test_a_killed_contender_is_said():
    with process.Process(Environment, threads=1) as killed:
        killed.ask("train", 1)
        killed.kill()
        with pytest.raises(UserError, match="ended from outside"):
            killed.ask("train", 1)


def test_a_process_starts_with_its_environment_and_threads():
    with process.Process(Environment, 1, {"WRITEUP_TEST_VARIABLE": "yes"}) as worker:
        assert worker.ask("train", 1) == ("yes", 1)
    assert "WRITEUP_TEST_VARIABLE" not in os.environ


def weights_after(contender, images=48):
    contender.train(images)
    return torch.cat([p.detach().flatten() for p in contender.model.parameters()])


def test_the_rows_whose_accuracy_is_not_trained_again_have_the_numbers_of_an_earlier_row(one_thread):
    made = contenders.makes(Task("ConvNet", batch_size=16, dataset="sample"), cores=1, bfloat16=False)
    names = list(made)
    for name in contenders.SAME_NUMBERS:
        earlier = weights_after(made[names[names.index(name) - 1]]())
        torch.testing.assert_close(weights_after(made[name]()), earlier, rtol=1e-6, atol=1e-8)
    other = weights_after(made[contenders.SAME_NUMBERS[0]](seed=1))
    assert (other - earlier).abs().max() > 0.01  # so that the comparison above could fail


@pytest.mark.parametrize("make", [PlainLoop, Steps, Whole])
def test_a_contender_trains_on_as_many_images_as_it_is_asked_to(make, one_thread, monkeypatch):
    contender = make(TASK)
    steps = []
    step = contender.optimizer.step
    monkeypatch.setattr(contender.optimizer, "step", lambda: (steps.append(1), step()))
    contender.train(2 * len(contender.images))  # across the end of an epoch, with its smaller batch
    per_epoch = -(-len(contender.images) // TASK.batch_size)
    assert len(steps) == 2 * per_epoch


def test_bare_steps_are_as_many_on_one_batch(one_thread, monkeypatch):
    bare = Bare(TASK)
    seen = []
    forward = bare.model.forward
    monkeypatch.setattr(bare.model, "forward", lambda x: (seen.append(x), forward(x))[1])
    bare.train(64)
    assert len(seen) == 4
    assert all(torch.equal(images, seen[0]) for images in seen)


def test_training_moves_towards_the_right_answers(one_thread):
    before = Whole(TASK).accuracy(0)
    assert Whole(TASK).accuracy(8) > before + 0.03


def test_the_plain_loop_sees_the_images_that_this_project_trains_on(monkeypatch):
    contender = PlainLoop(TASK)
    images = PILImages(contender.images, contender.dataset)
    images.transform.transforms = images.transform.transforms[2:]  # without the chances
    seen = torch.stack([images[k][0] for k in range(20)])
    torch.testing.assert_close(
        seen,
        contender.dataset.normalise(contender.images.images[:20]).contiguous(),
        rtol=0,
        atol=1e-5,
    )
    assert [images[k][1] for k in range(20)] == contender.images.labels[:20].tolist()


class Holder(Contender):
    def __init__(self):
        self.held = b""

    def train(self, images):
        self.held = b"x" * images


def test_a_contenders_memory_is_that_of_its_process():
    with process.Process(Holder, threads=1) as holder:
        holder.ask("train", 1)
        before = holder.ask("memory")
        holder.ask("train", 200_000_000)
        used = runner.memory()
        after = holder.ask("memory")
        holder.ask("train", 1)
        highest = holder.ask("memory")["peak"]
    assert after["private"] - before["private"] == pytest.approx(200e6, rel=0.05)
    assert highest >= after["resident"] - 1e6  # memory that was freed counts
    assert used > 200_000_000
    ballast = b"x" * 1_000_000_000
    with process.Process(Holder, threads=1) as other:  # and the memory of the parent does not
        other.ask("train", 1)
        assert other.ask("memory")["peak"] == pytest.approx(before["peak"], abs=100e6), len(ballast)


def as_described(network, x):
    """The write-up's order of layers: convolution, ReLU, pooling."""
    for convolution in (network.conv2d1, network.conv2d2, network.conv2d3):
        x = functional.max_pool2d(functional.relu(convolution(x)), 2)
    x = x.flatten(1)
    for linear in (network.linear1, network.linear2, network.linear3):
        x = functional.relu(linear(x))
    return network.output(x)


def test_the_convnet_pools_before_relu_without_changing_a_bit(one_thread):
    network = models.build("ConvNet", seed=0, classes=10)
    images = torch.randn(8, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    ours, described = network(images), as_described(network, images)
    assert torch.equal(ours, described)
    gradients = [torch.autograd.grad(y.square().sum(), list(network.parameters())) for y in (ours, described)]
    assert all(torch.equal(a, b) for a, b in zip(*gradients, strict=True))


def test_evaluation_is_timed_without_loading_the_data(monkeypatch, one_thread):
    contender = Whole(TASK)
    contender.evaluate()
    monkeypatch.setattr(data, "load", lambda name: pytest.fail("loaded again"))
    contender.evaluate()
