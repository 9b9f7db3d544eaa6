"""The field's long-tail methods against float64 formulas written here, each with what implementations get wrong."""

import math

import numpy as np
import pytest
import torch
from conftest import run, small

from lib import losses
from lib.analysis.logits import tau_normalised
from lib.experiment import Experiment
from lib.system.errors import UserError
from lib.training import build_model, train
from lib.training.batches import draw, draw_by_class, mix, training_batches, training_part
from lib.training.evaluation import predict
from lib.training.optimizer import learning_rate

COUNTS = [5000, 2997, 1796, 1077, 645, 387, 232, 139, 83, 50]


@pytest.fixture
def batch():
    generator = torch.Generator().manual_seed(0)
    logits = 3 * torch.randn(64, 10, generator=generator)
    return logits, torch.randint(0, 10, (64,), generator=generator)


def cross_entropy_by_loops(logits, targets, shift=lambda y, k: 0.0, weights=(1.0,) * 10):
    """Mean of -w_y log softmax(z_k + shift(y, k))_y in Python's floats."""
    total = 0.0
    for row, y in zip(logits.double().tolist(), targets.tolist(), strict=True):
        moved = [value + shift(y, k) for k, value in enumerate(row)]
        top = max(moved)
        total += weights[y] * (math.log(sum(math.exp(v - top) for v in moved)) + top - moved[y])
    return total / len(targets)


@pytest.mark.parametrize("tau", [0.0, 0.5, 1.0, 2.0])
def test_logit_adjustment_adds_tau_log_prior(batch, tau):
    loss = losses.build("cross_entropy", counts=COUNTS, tau=tau)
    prior = [n / sum(COUNTS) for n in COUNTS]
    expected = cross_entropy_by_loops(*batch, lambda _, k: tau * math.log(prior[k]))
    assert loss(*batch).item() == pytest.approx(expected, rel=1e-5)


def test_at_tau_1_it_is_the_balanced_softmax(batch):
    """n_y exp(z_y) / sum of n_k exp(z_k), Ren et al. 2020."""
    logits, targets = batch
    weighted = torch.tensor(COUNTS, dtype=torch.float64) * logits.double().exp()
    expected = -(weighted / weighted.sum(1, keepdim=True))[range(64), targets].log().mean().item()
    assert losses.build("cross_entropy", counts=COUNTS, tau=1.0)(*batch).item() == pytest.approx(expected, rel=1e-5)
    assert Experiment.make(model="ConvNet", epochs=1, tau=1.0).loss_name == "Balanced softmax"


def test_ldam_lowers_the_true_logit_by_a_margin_that_grows_towards_the_tail(batch):
    """The margin is 0.5 for the rarest class; logits and margins are 30 times the cosine."""
    margins = [0.5 * (min(COUNTS) / n) ** 0.25 for n in COUNTS]
    torch.testing.assert_close(losses.ldam_margins(COUNTS), torch.tensor(margins))
    expected = cross_entropy_by_loops(*batch, lambda y, k: -30 * margins[y] if k == y else 0.0)
    assert losses.build("ldam", counts=COUNTS)(*batch).item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("model", ["ConvNet", "TwoLayerNet", "VanillaCNN", "ResNet-32"])
def test_the_head_of_ldam_is_normalised_and_has_no_bias(model):
    made = build_model(Experiment.make(model=model, loss="ldam", epochs=1), 10).eval()
    plain = build_model(Experiment.make(model=model, epochs=1), 10)
    assert made.output.weight.equal(plain.output.weight)  # the same start
    assert [name for name, _ in made.output.named_parameters()] == ["weight"]
    features = torch.randn(4, made.output.weight.shape[1])
    logits = made.output(features)
    cosines = torch.cosine_similarity(features[:, None].double(), made.output.weight.double(), dim=2)
    torch.testing.assert_close(logits.double(), 30 * cosines, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(made.output(7 * features), logits, atol=1e-4, rtol=1e-4)
    with torch.no_grad():
        made.output.weight *= 5
    torch.testing.assert_close(made.output(features), logits, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("name", sorted(losses.LOSSES))
def test_deferred_weights_act_from_the_next_epoch_on(batch, name):
    """Not one epoch early, and in every later one, also past twice the epochs."""
    settings = {"counts": COUNTS, "gamma": 1.0, "reduction": "weights"}
    settings["epochs"] = 200
    plain, weighted = (losses.build(name, beta=beta, **settings) for beta in (None, 0.9999))
    deferred = losses.build(name, beta=0.9999, deferred=160, **settings)
    for epoch in (1, 160):
        assert deferred(*batch, epoch).item() == plain(*batch, epoch).item()
    for epoch in (161, 200, 320, 400):
        assert deferred(*batch, epoch).item() == weighted(*batch, epoch).item()
    assert plain(*batch).item() != weighted(*batch).item()


def test_deferred_logit_adjustment_is_cross_entropy_before(batch):
    plain, adjusted = (losses.build("cross_entropy", counts=COUNTS, tau=tau) for tau in (0.0, 1.0))
    deferred = losses.build("cross_entropy", counts=COUNTS, tau=1.0, deferred=3)
    assert [deferred(*batch, n).item() for n in (3, 4)] == [loss(*batch).item() for loss in (plain, adjusted)]


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        ({}, "CE"),
        ({"beta": 0.9999}, "CB-CE"),
        ({"beta": 0.9999, "deferred": 8}, "CE-DRW"),
        ({"loss": "ldam", "beta": 0.9999, "deferred": 8}, "LDAM-DRW"),
        ({"sampling": "classes"}, "CE-CBS"),
        ({"sampling": "classes", "deferred": 8}, "CE-DRS"),
        ({"tau": 1.0, "deferred": 8}, "Balanced softmax (deferred)"),
        ({"tau": 0.5}, "LA-CE τ 0.5"),
        ({"mixup": 1.0}, "CE + mixup"),
        ({"sampling": "classes", "deferred": 8, "retrain": True}, "cRT"),
        ({"loss": "ldam", "deferred": 8, "retrain": True}, "LDAM (retrained output)"),
    ],
)
def test_methods_have_the_fields_names(fields, name):
    assert Experiment.make(model="ConvNet", epochs=10, **fields).loss_name == name


def test_what_is_deferred_has_to_begin_before_the_end():
    with pytest.raises(UserError, match="less than the 10 epochs, not 10"):
        Experiment.make(model="ConvNet", epochs=10, beta=0.9, deferred=10)


def test_crt_freezes_the_features_and_their_batch_statistics(few, one_thread):
    """Kang et al. 2020: only the last layer changes, from new weights; BatchNorm's statistics do not move."""
    dataset, fields = few(), {"model": "ResNet-32", "learning_rate": 0.05}
    trunk, crt = small(epochs=1, **fields), small(epochs=3, sampling="classes", deferred=1, retrain=True, **fields)
    _, before = run(trunk, dataset)
    _, after = run(crt, dataset)
    moved = {name for name, value in after["last"].items() if not value.equal(before["last"][name])}
    assert moved == {"output.weight", "output.bias"}
    assert any("running_mean" in name for name in after["last"])
    # The same by hand: a linear layer on the features of augmented images, from its first weights.
    model = build_model(trunk, 10)
    first = {name: value.clone() for name, value in model.output.state_dict().items()}
    model.load_state_dict(before["last"])
    model.output.load_state_dict(first)
    model.eval()
    optimizer = torch.optim.SGD(model.output.parameters(), 0.05, momentum=0.9, weight_decay=0.0005)
    steps = math.ceil(len(dataset.train) / crt.batch_size)
    for step in range(2 * steps):
        rate = 0.05 * (1 + math.cos(math.pi * step / (2 * steps))) / 2
        assert learning_rate(crt, steps + step, steps) == pytest.approx(rate)
    for epoch in (2, 3):
        for step, (images, labels) in enumerate(training_batches(dataset.train, dataset, crt, epoch)):
            optimizer.param_groups[0]["lr"] = learning_rate(crt, (epoch - 1) * steps + step, steps)
            optimizer.zero_grad()
            (-model(images).log_softmax(1)[range(len(labels)), labels].mean()).backward()
            optimizer.step()
    for name, value in model.output.state_dict().items():
        torch.testing.assert_close(after["output"][name], value, atol=1e-5, rtol=1e-4)


def test_a_retrained_output_needs_epochs_before():
    with pytest.raises(UserError, match="retrain needs `deferred`"):
        Experiment.make(model="ConvNet", epochs=10, retrain=True)
    crt = Experiment.make(model="ConvNet", epochs=70, sampling="classes", deferred=40, retrain=True, evaluate_every=30)
    assert crt.evaluated == [30, *range(31, 41), *range(60, 71)]
    assert crt.prefix(40) == Experiment.make(model="ConvNet", epochs=40, evaluate_every=30).prefix(40)


def test_classes_are_drawn_uniformly_and_images_uniformly_within_them():
    labels = torch.tensor(np.random.default_rng(0).permutation(np.repeat(np.arange(10), COUNTS)))
    drawn = draw_by_class(3, 1, labels)
    assert len(drawn) == len(labels)
    counts = torch.bincount(labels[drawn], minlength=10)
    expected = len(labels) / 10
    assert (counts - expected).abs().max() < 5 * math.sqrt(expected)
    head = drawn[labels[drawn] == 0]
    assert len(head.unique()) > 0.95 * len(head) * (1 - len(head) / 2 / COUNTS[0])  # nearly all of them once
    assert set(drawn[labels[drawn] == 9].tolist()) == set((labels == 9).nonzero().flatten().tolist())
    assert draw_by_class(3, 1, labels).equal(drawn)
    assert not draw_by_class(3, 2, labels).equal(drawn)
    assert not draw_by_class(4, 1, labels).equal(drawn)


def test_an_empty_class_is_not_drawn():
    labels = torch.tensor([0, 0, 0, 2, 2])
    assert set(labels[draw_by_class(0, 1, labels)].tolist()) <= {0, 2}


def test_training_sees_balanced_classes_from_the_deferred_epoch_on(sample):
    """A sampler that is built and not used changes nothing."""
    images = sample.train.take(torch.cat([torch.arange(1280), torch.arange(320)]))
    labels = torch.where(torch.arange(1600) < 1500, 0, 1)
    images = type(images)(images.images, labels)
    experiment = small(sampling="classes", deferred=1, epochs=3, batch_size=100)

    def seen(epoch):
        return torch.cat([labels for _, labels in training_batches(images, sample, experiment, epoch)])

    order = draw(experiment.seed, 1, 1600)[0]
    assert seen(1).equal(labels[order])
    for epoch in (2, 3):
        assert 0.4 < seen(epoch).float().mean() < 0.6
        assert seen(epoch).equal(labels[draw_by_class(experiment.seed, epoch, labels)])


def test_mixup_mixes_images_and_losses_with_one_share(few):
    images = torch.randn(16, 3, 32, 32)
    mixed, partner, share = mix(images, 1.0, seed=0, epoch=2, step=3)
    assert sorted(partner.tolist()) == list(range(16))
    torch.testing.assert_close(mixed, share * images + (1 - share) * images[partner])
    again = mix(images, 1.0, seed=0, epoch=2, step=3)
    assert (again[2], again[1].tolist()) == (share, partner.tolist())
    assert mix(images, 1.0, seed=0, epoch=2, step=4)[2] != share
    shares = np.array([mix(images[:2], 1.0, 0, 1, step)[2] for step in range(400)])
    assert abs(shares.mean() - 0.5) < 0.06  # Beta(1, 1) is uniform
    assert abs(shares.var() - 1 / 12) < 0.015


def test_a_mixed_epoch_equals_a_plain_loop(few, one_thread):
    experiment = small(mixup=1.0, epochs=1, learning_rate=0.05)
    dataset = few()
    record, weights = run(experiment, dataset)
    model = build_model(experiment, 10)
    optimizer = torch.optim.SGD(model.parameters(), 0.05, momentum=0.9, weight_decay=0.0005)
    for step, (images, labels) in enumerate(training_batches(dataset.train, dataset, experiment, 1)):
        mixed, partner, share = mix(images, 1.0, experiment.seed, 1, step)
        logs = model(mixed).log_softmax(1)
        picked = share * logs[range(len(labels)), labels] + (1 - share) * logs[range(len(labels)), labels[partner]]
        optimizer.zero_grad()
        (-picked.mean()).backward()
        optimizer.step()
    for name, value in model.state_dict().items():
        torch.testing.assert_close(weights["last"][name], value, atol=1e-5, rtol=1e-4)
    assert record.last.train_hits is None  # an image of two classes is of neither


def test_the_fields_protocol_is_a_warm_up_and_two_steps():
    """P1: 0.1, five epochs of warm-up, times 0.01 after epoch 160 and again after 180."""
    protocol = Experiment.make(
        model="ResNet-32", epochs=200, learning_rate=0.1, warmup=5, steps=[160, 180], decay=0.01, batch_size=128
    )
    rates = {epoch: learning_rate(protocol, (epoch - 1) * 97, 97) for epoch in (1, 5, 6, 160, 161, 180, 181, 200)}
    expected = {1: 0.02, 5: 0.1, 6: 0.1, 160: 0.1, 161: 0.001, 180: 0.001, 181: 1e-5, 200: 1e-5}
    assert rates == pytest.approx(expected)


def test_a_run_is_evaluated_every_few_epochs_and_in_the_last_ten(few, one_thread):
    every = small(epochs=14)
    seldom = every.replace(evaluate_every=3)
    (all_of_them, weights), (some, same) = (run(e, few()) for e in (every, seldom))
    assert [epoch.epoch for epoch in some.history] == [3, *range(5, 15)] == seldom.evaluated
    assert [e.test for e in some.history] == [all_of_them.history[n - 1].test for n in seldom.evaluated]
    assert all(weights["last"][name].equal(value) for name, value in same["last"].items())
    assert some.wall_time > 0


def test_a_seldom_evaluated_run_goes_on_from_its_last_evaluation(few, one_thread, tmp_path):
    experiment, file = small(epochs=14, evaluate_every=3), tmp_path / "state.safetensors"
    whole, weights = run(experiment, few())

    def stop(epoch, *_):
        return epoch == 5

    with pytest.raises(KeyboardInterrupt, match="Stopped after 3 of 14 epochs"):
        train(experiment, few(), checkpoint=file, on_step=stop)
    resumed, same = train(experiment, few(), checkpoint=file)
    assert [e.test for e in resumed.history] == [e.test for e in whole.history]
    assert all(weights["last"][name].equal(value) for name, value in same["last"].items())


@pytest.mark.parametrize(
    "fields",
    [
        {"loss": "ldam", "beta": 0.99, "deferred": 1},
        {"tau": 1.0},
        {"sampling": "classes"},
        {"mixup": 0.2, "sampling": "classes", "deferred": 1},
        {"loss": "ldam", "sampling": "classes", "deferred": 1, "retrain": True},
    ],
)
def test_every_method_trains_stores_and_loads(few, store, one_thread, fields):
    experiment = small(epochs=2, **fields)
    store.put(*run(experiment, few()))
    assert store.get(experiment).experiment == experiment
    build_model(experiment, 10).load_state_dict(store.tensors(experiment, "last"))
    build_model(experiment, 10).output.load_state_dict(store.tensors(experiment, "output"))


def test_a_run_with_held_out_images_keeps_their_logits(sample, store, one_thread):
    experiment = small(epochs=1, validation=0.25)
    record, weights = run(experiment, sample)
    store.put(record, weights)
    kept = store.tensors(experiment, "logits")
    _, held_out = training_part(sample, experiment)
    assert kept["validation"].shape == (len(held_out), 10)
    right = (kept["validation"].argmax(1) == held_out.labels).float().mean().item()
    assert right == pytest.approx(record.last.validation.accuracy)


def test_tau_normalisation_divides_by_the_norms_of_the_head(sample):
    """Each weight vector by its norm to the power of tau, without the bias: Kang et al. 2020."""
    model = build_model(Experiment.make(model="ResNet-32", epochs=1, seed=4), 10).eval()
    with torch.no_grad():
        model.output.weight *= torch.linspace(0.5, 2, 10)[:, None]
        model.output.bias += torch.linspace(-1, 1, 10)
    seen = []
    model.output.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    logits = predict(model, sample.test.images[:50], "float32", sample)
    weight, bias = model.output.weight.detach(), model.output.bias.detach()
    for tau in (0.0, 0.7, 1.0):
        scaled = weight.double() / (weight.double() ** 2).sum(1, keepdim=True) ** (tau / 2)
        expected = seen[0].double() @ scaled.T
        torch.testing.assert_close(tau_normalised(logits, weight, bias, tau).double(), expected, atol=1e-3, rtol=1e-3)
