"""The loop does what it says: held against a plain one, and at its edges."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import numbers, run, small
from torch import nn

from lib import data, losses, models
from lib.data import ImageSet
from lib.system.errors import UserError
from lib.training import Diverged, Epoch, Evaluation, Interrupted
from lib.training.batches import training_batches, training_part
from lib.training.evaluation import evaluate, expected_calibration_error
from lib.training.loop import train_epoch
from lib.training.optimizer import make_optimizer, start_as_rare

pytestmark = pytest.mark.usefixtures("one_thread")  # small steps are fastest on one thread, and repeatable


@pytest.mark.parametrize(("nesterov", "schedule"), [(False, "steps"), (True, "one_cycle")])
def test_two_epochs_equal_a_plain_loop_with_torchs_own_parts(few, nesterov, schedule):
    dataset = few()
    experiment = small(model="ConvNet", learning_rate=0.05, steps=[1], nesterov=nesterov, schedule=schedule)
    record, weights = run(experiment, dataset)

    model = models.build("ConvNet", 0, 10)
    optimizer = torch.optim.SGD(
        model.parameters(), lr=0.05, momentum=0.9, weight_decay=0.0005, nesterov=nesterov, fused=False
    )
    if schedule == "steps":
        scheduler = torch.optim.lr_scheduler.MultiStepLR(optimizer, [5])  # five steps are an epoch
    else:
        scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.05, total_steps=10, cycle_momentum=False)
    expected = []
    for epoch in (1, 2):
        total = correct = 0
        for images, labels in training_batches(dataset.train, dataset, experiment, epoch):
            logits = model(images.contiguous())
            loss = nn.CrossEntropyLoss()(logits, labels)
            optimizer.zero_grad()
            loss.backward()
            rate = scheduler.get_last_lr()[0]
            optimizer.step()
            scheduler.step()
            total += loss.item() * len(labels)
            correct += (logits.argmax(1) == labels).sum().item()
        expected.append((total / 80, correct / 80, rate))
    for name, value in model.state_dict().items():
        torch.testing.assert_close(
            weights["last"][name], value, rtol=1e-4, atol=1e-5, msg=lambda m, name=name: f"{name}: {m}"
        )
    for epoch, (loss, accuracy, rate) in zip(record.history, expected, strict=True):
        assert epoch.train_loss == pytest.approx(loss, rel=1e-5)
        assert epoch.train_accuracy == accuracy == sum(epoch.train_hits) / 80
        assert epoch.learning_rate == pytest.approx(rate)


def test_the_mean_loss_counts_images_not_batches(few):
    """20 images in batches of 16: the last four must not weigh as much as the first sixteen."""
    dataset = few(20, 20)
    experiment = small(epochs=1, learning_rate=1e-12, augmentation=False, weight_decay=0)
    record, _ = run(experiment, dataset)
    still = evaluate(models.build("TwoLayerNet", 0, 10), dataset.train, "float32", dataset)
    assert record.last.train_loss == pytest.approx(still.loss, rel=1e-5)
    assert record.last.train_accuracy == pytest.approx(still.accuracy)
    assert record.last.train_hits == np.diag(still.confusion).tolist()
    np.testing.assert_allclose(record.train_per_class(record.last), still.per_class)


def test_sigmoid_loss_starts_as_rare_and_spares_the_output_bias_from_decay():
    model = models.build("ResNet-32", 0, 10)
    start_as_rare(model)
    assert torch.sigmoid(model.output.bias).tolist() == pytest.approx([0.1] * 10)  # = -log(C - 1)

    def decay(loss):
        groups = make_optimizer(model, small(model="ResNet-32", loss=loss)).param_groups
        return {id(p): group["weight_decay"] for group in groups for p in group["params"]}

    sigmoid, softmax = decay("sigmoid_focal"), decay("focal")
    assert set(sigmoid) == set(softmax) == {id(p) for p in model.parameters()}
    assert set(softmax.values()) == {0.0005}
    assert [key for key, value in sigmoid.items() if value == 0] == [id(model.output.bias)]


def test_the_loop_applies_the_rare_start_to_the_sigmoid_loss_alone(few):
    for loss, bias in (("sigmoid_focal", -math.log(9)), ("focal", 0.0)):
        _, weights = run(small(loss=loss, learning_rate=1e-9, epochs=1), few())
        assert weights["last"]["output.bias"].mean().item() == pytest.approx(bias, abs=0.05)


def ece_by_loops(confidence, correct):
    total = 0.0
    for b in range(15):
        inside = (confidence > b / 15) & (confidence <= (b + 1) / 15)
        if inside.any():
            total += inside.mean() * abs(correct[inside].mean() - confidence[inside].mean())
    return total


@pytest.mark.parametrize("sigmoid", [False, True])
def test_evaluation_equals_the_formulas(sample, sigmoid):
    part = ImageSet(sample.test.images[:250], sample.test.labels[:250])  # the last two classes have no image
    model = models.build("VanillaCNN", 1, 10)
    with torch.inference_mode():
        logits = model(sample.normalise(part.images)).double().numpy()
    y, predicted = part.labels.numpy(), logits.argmax(1)
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    confidence = (1 / (1 + np.exp(-logits)) if sigmoid else p).max(1)
    confusion = np.zeros((10, 10), int)
    np.add.at(confusion, (y, predicted), 1)

    result = evaluate(model, part, "float32", sample, sigmoid)
    assert result.confusion == confusion.tolist()
    assert result.accuracy == pytest.approx((y == predicted).mean())
    assert result.loss == pytest.approx(-np.log(p[np.arange(250), y]).mean(), rel=1e-5)
    assert result.calibration_error == pytest.approx(ece_by_loops(confidence, y == predicted), rel=1e-4)
    for k in range(10):
        if (y == k).any():
            assert result.per_class[k] == pytest.approx((predicted[y == k] == k).mean())
        else:
            assert np.isnan(result.per_class[k])


def test_a_run_keeps_its_last_logits_and_the_training_accuracy_of_its_final_weights(few):
    dataset = few()
    record, kept = run(small(model="ResNet-32", learning_rate=0.01), dataset)
    logits = kept["logits"]["test"]
    assert (logits.shape, logits.dtype) == ((20, 10), torch.float16)
    predicted = logits.argmax(1)
    confusion = torch.tensor(record.last.test.confusion)
    assert confusion.diagonal().tolist() == [
        int(((predicted == k) & (dataset.test.labels == k)).sum()) for k in range(10)
    ]
    model = models.build("ResNet-32", 0, 10)
    model.load_state_dict(kept["last"])
    final = torch.tensor(evaluate(model, dataset.train, "float32", dataset).confusion)  # fixed weights, plain images
    assert record.final_train_correct == final.diagonal().tolist()


def test_a_run_whose_checkpoint_holds_every_epoch_ends_with_the_same_logits(few, tmp_path):
    dataset, experiment = few(), small()
    record, kept = run(experiment, dataset, checkpoint=tmp_path / "state.safetensors")
    again, kept_again = run(experiment, dataset, checkpoint=tmp_path / "state.safetensors")
    assert torch.equal(kept["logits"]["test"], kept_again["logits"]["test"])
    assert again.final_train_correct == record.final_train_correct


def test_calibration_error_is_zero_when_confidence_is_deserved_and_full_when_wrong():
    sure = torch.ones(10)
    assert expected_calibration_error(sure, torch.ones(10, dtype=torch.bool)) == 0
    assert expected_calibration_error(sure, torch.zeros(10, dtype=torch.bool)) == 1
    half = torch.full((10,), 0.5)
    assert expected_calibration_error(half, torch.arange(10) < 5) == 0
    low = torch.tensor([0.03, 0.1])  # two bins whose gaps would partly cancel in one
    assert expected_calibration_error(low, torch.tensor([True, False])) == pytest.approx((0.97 + 0.1) / 2)
    assert expected_calibration_error(torch.zeros(1), torch.zeros(1, dtype=torch.bool)) == 0


def test_best_is_the_first_of_the_highest_and_its_weights_are_kept(few):
    seen = []
    dataset = few(80, 40)
    record, weights = run(small(epochs=6, learning_rate=0.05), dataset, on_epoch=seen.append)
    assert record.history == seen
    accuracies = [e.test.accuracy for e in record.history]
    assert record.best.epoch == 1 + accuracies.index(max(accuracies))
    assert record.last.epoch == 6
    for name, epoch in (("best", record.best), ("last", record.last)):
        model = models.build("TwoLayerNet", 9, 10)
        model.load_state_dict(weights[name])
        assert evaluate(model, dataset.test, "float32", dataset).confusion == epoch.test.confusion, name


def test_of_equal_epochs_the_first_is_best(few):
    """A step too small to change any prediction: every epoch is equally good."""
    record, weights = run(small(epochs=3, learning_rate=1e-9), few())
    assert len({e.test.accuracy for e in record.history}) == 1
    assert record.best.epoch == 1
    assert not torch.equal(weights["best"]["hidden.weight"], weights["last"]["hidden.weight"])


def test_a_diverging_run_stops_with_epoch_step_and_settings(few):
    with pytest.raises(Diverged, match=r"(nan|inf) in epoch 1, step \d of 5.*learning_rate 1e\+20"):
        run(small(model="ConvNet", learning_rate=1e20), few())
    assert issubclass(Diverged, UserError)


def test_a_run_that_diverges_in_its_very_last_step_stops_too(few):
    """One step: its loss was finite, the model after it is not."""
    with pytest.raises(Diverged, match=r"result of epoch 1 is not finite.*learning_rate"):
        run(small(model="ConvNet", learning_rate=1e38, epochs=1, batch_size=80), few())


def test_an_interrupt_keeps_the_history(few):
    def interrupt(epoch: Epoch):
        if epoch.epoch == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt, match="Stopped after 2 of 5 epochs") as stopped:
        run(small(epochs=5), few(), on_epoch=interrupt)
    assert isinstance(stopped.value, Interrupted)
    assert [e.epoch for e in stopped.value.history] == [1, 2]


def numbered(sample):
    """The sample's training images, each with its position in its first two bytes."""
    images = sample.train.images.clone()
    position = torch.arange(len(images))
    images[:, 0, 0, 0], images[:, 0, 0, 1] = position // 256, position % 256
    return replace(sample, train=ImageSet(images, sample.train.labels))


def positions(part):
    return (part.images[:, 0, 0, 0].long() * 256 + part.images[:, 0, 0, 1].long()).tolist()


def test_validation_is_carved_from_the_long_tailed_subset_class_by_class(sample):
    dataset = numbered(sample)
    settings = {"imbalance": "exponential", "factor": 0.1, "subset_seed": 2}
    subset, none = training_part(dataset, small(**settings))
    assert none is None
    expected = data.long_tailed_indices(dataset.train.labels, 0.1, "exponential", 2)
    assert positions(subset) == expected.tolist()

    training, validation = training_part(dataset, small(**settings, validation=0.2))
    assert not set(positions(training)) & set(positions(validation))
    assert set(positions(training)) | set(positions(validation)) == set(positions(subset))
    whole, held = (torch.bincount(part.labels, minlength=10) for part in (subset, validation))
    assert held.tolist() == [max(1, round(0.2 * n)) for n in whole.tolist()]
    for part in (training, validation):
        assert torch.equal(part.labels, dataset.train.labels[positions(part)])


def test_the_record_says_what_was_trained_on(sample, few):
    record, _ = run(small(validation=0.25, epochs=1), few(), origin="params/x.yaml")
    assert record.counts == [6] * 10
    assert sum(map(sum, record.last.validation.confusion)) == 20
    assert sum(map(sum, record.last.test.confusion)) == 20
    assert (record.origin, record.data_digest) == ("params/x.yaml", sample.digest)


def test_class_weights_come_from_the_counts_that_are_trained_on(few):
    """Balanced counts weigh every class alike, whatever beta; long-tailed ones do not."""
    plain, balanced = (run(small(beta=beta), few())[0].last.train_loss for beta in (None, 0.999))
    assert balanced == pytest.approx(plain, rel=1e-5)
    tail = {"imbalance": "step", "factor": 0.25}
    plain, balanced = (run(small(beta=beta, **tail), few())[0].last.train_loss for beta in (None, 0.999))
    assert balanced != pytest.approx(plain, rel=1e-2)


def test_bfloat16_computes_in_it_and_stays_near_float32(few):
    results = [run(small(model="VanillaCNN", precision=p), few()) for p in ("float32", "bfloat16")]
    (exact, _), (rough, weights) = results
    assert {value.dtype for value in weights["last"].values()} == {torch.float32}
    assert rough.last.train_loss == pytest.approx(exact.last.train_loss, rel=0.02)
    assert rough.last.train_loss != exact.last.train_loss


@pytest.mark.parametrize("model", models.MODELS)
@pytest.mark.parametrize(
    "loss",
    [
        {"loss": "cross_entropy"},
        {"loss": "focal", "gamma": 1, "beta": 0.99, "normalisation": "weights"},
        {"loss": "sigmoid_focal", "gamma": 0.5, "beta": 0.999},
    ],
    ids=lambda loss: loss["loss"],
)
def test_every_model_trains_with_every_loss(few, model, loss):
    before = models.build(model, 0, 10).state_dict()
    record, weights = run(small(model=model, epochs=1, **loss), few(40, 10))
    assert math.isfinite(record.last.train_loss)
    assert isinstance(record.last.test, Evaluation)
    moved = [name for name, value in weights["last"].items() if not torch.equal(value, before[name])]
    assert moved == list(before)


def test_a_fresh_convnet_memorises_forty_images(few):
    images = few(40, 10)
    check = {"augmentation": False, "epochs": 80, "batch_size": 10, "schedule": "one_cycle", "learning_rate": 0.02}
    record, _ = run(small(model="ConvNet", **check), replace(images, test=images.train))
    assert record.history[0].test.accuracy < 0.5
    assert record.last.test.accuracy == 1.0


def test_training_learns(few):
    """Three epochs on 640 images beat guessing (10 %) by far; with a frozen or wrong step they do not."""
    record, _ = run(small(model="VanillaCNN", epochs=3, learning_rate=0.003), few(640, 160))
    assert record.last.train_accuracy > 0.25
    assert record.last.test.accuracy > 0.2
    assert record.history[0].train_loss > record.history[-1].train_loss


def test_a_loss_is_a_function_and_a_line_in_the_registry(few, monkeypatch):
    """The promise of CONTRIBUTING.md, with a loss that needs the class counts and the epoch."""
    seen = []

    def deferred(settings):
        def loss(logits, targets, epoch=1):
            seen.append((epoch, settings.epochs, tuple(settings.counts)))
            weights = settings.weights() if epoch > settings.epochs // 2 else None
            return nn.functional.cross_entropy(logits, targets, weight=weights)

        return loss

    monkeypatch.setitem(losses.LOSSES, "deferred", losses.LossKind(deferred, "Deferred", has_gamma=False))
    experiment = small(loss="deferred", beta=0.99, gamma=2)
    assert (experiment.loss_name, experiment.gamma) == ("CB-Deferred", 0)
    record, _ = run(experiment, few())
    assert sorted(set(seen)) == [(1, 2, (8,) * 10), (2, 2, (8,) * 10)]
    assert record.key != run(small(), few())[0].key


def test_a_training_can_be_stopped_from_outside_and_goes_on(few, tmp_path):
    dataset, experiment, asked = few(), small(epochs=3), []

    def in_the_second_epoch(*step):
        asked.append(step)
        return len(asked) > 7  # five steps are an epoch

    with pytest.raises(Interrupted, match="after 1 of 3 epochs; run it again") as stopped:
        run(experiment, dataset, on_step=in_the_second_epoch, checkpoint=tmp_path / "state.safetensors")
    assert len(stopped.value.history) == 1
    assert asked == [(1, done, 80) for done in (0, 16, 32, 48, 64)] + [(2, done, 80) for done in (0, 16, 32)]
    on = run(experiment, dataset, checkpoint=tmp_path / "state.safetensors")[0]
    assert numbers(on) == numbers(run(experiment, dataset)[0])


def test_a_record_as_a_data_frame_has_its_numbers_by_epoch_and_class(few):
    record, _ = run(small(epochs=2, validation=0.25), few())
    frame = record.frame()
    assert frame.index.tolist() == [1, 2]
    assert frame.columns.is_unique
    for epoch in record.history:
        row = frame.loc[epoch.epoch]
        assert row[["train_loss", "test_loss", "test_accuracy", "validation_accuracy", "learning_rate"]].tolist() == [
            epoch.train_loss,
            epoch.test.loss,
            epoch.test.accuracy,
            epoch.validation.accuracy,
            epoch.learning_rate,
        ]
        for part, expected in (("test", epoch.test.per_class), ("train", record.train_per_class(epoch))):
            assert row[[f"{part}_{name}" for name in data.classes("sample")]].tolist() == expected.tolist()
    assert not [name for name in run(small(epochs=1), few())[0].frame() if name.startswith("validation")]


def test_a_model_that_draws_random_numbers_repeats_and_leaves_the_callers_stream_alone(few):
    """Dropout, or a loss with noise: what an epoch draws is a function of its seed and number, as its batches are."""
    dataset = few()

    def epoch(seed, number):
        experiment = small(seed=seed)
        model = nn.Sequential(nn.Flatten(), nn.Dropout(0.5), models.build("TwoLayerNet", 0, 10))
        optimizer = torch.optim.SGD(model.parameters(), lr=0.0)  # the weights stay: only the draws can differ
        loss = losses.build("cross_entropy", counts=[1] * 10)
        return train_epoch(model, optimizer, loss, dataset.train, dataset, experiment, number)[0]

    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    first = epoch(0, 1)
    assert torch.equal(torch.random.get_rng_state(), before)
    torch.manual_seed(6)
    assert epoch(0, 1) == first
    assert len({first, epoch(0, 2), epoch(1, 1)}) == 3
