"""Runs trained together end as they would have alone."""

from contextlib import nullcontext

import pytest
import torch
from conftest import run, small

from lib import losses, models
from lib.errors import UserError
from lib.experiment import Experiment
from lib.training import Diverged, replicas
from lib.training.batches import training_batches
from lib.training.replicas import groups, train_together

pytestmark = pytest.mark.usefixtures("one_thread")

CPU = torch.device("cpu")
TAIL = {"imbalance": "step", "factor": 0.25}  # 40 images become 25, with which beta makes a difference


def mixed(**fields):
    """Three runs that differ in all they may."""
    return [
        small(**{**TAIL, **fields, **free})
        for free in (
            {"seed": 1},
            {"seed": 2, "beta": 0.99},
            {"seed": 1, "loss": "focal", "gamma": 1, "beta": 0.999, "normalisation": "weights"},
        )
    ]


def together(experiments, dataset, **options):
    return train_together(experiments, dataset, on=CPU, **options)


def distance(weights, others):
    """The largest relative distance of two tensors of the same name."""
    assert weights.keys() == others.keys()
    pairs = [(value.double(), others[name].double()) for name, value in weights.items()]
    return max(((a - b).norm() / b.norm().clamp_min(1e-9)).item() for a, b in pairs)


class DoubleResNet32(models.ResNet32):
    """In float64, whose rounding is too fine for ResNet-32 to amplify to what could be taken for a fault."""

    def __init__(self, classes: int = 10):
        super().__init__(classes)
        self.double()

    def forward(self, x):
        return super().forward(x.double())


@pytest.fixture(scope="module")
def resnets(few):
    """Experiments, and the outcomes of the same runs: together and alone, each in float32 and exact."""
    # 25 images in batches of 10, 10 and 5; a rate at which the loss halves and BatchNorm has to work.
    experiments, dataset = mixed(model="ResNet-32", batch_size=10, steps=[1]), few(40, 10)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    outcomes = {}
    try:
        with pytest.MonkeyPatch.context() as patch:
            for precision, model in (("float32", models.ResNet32), ("exact", DoubleResNet32)):
                patch.setitem(models.MODELS, "ResNet-32", model)
                outcomes["together", precision] = together(experiments, dataset)
                outcomes["alone", precision] = [run(e, dataset) for e in experiments]
    finally:
        torch.set_num_threads(threads)
    return experiments, outcomes


def test_resnet32_replicas_are_their_stand_alone_runs(resnets):
    """Weights and BatchNorm statistics after six steps, to 1e-10; measured against how far the runs lie apart."""
    _, outcomes = resnets
    alone = [weights for _, weights in outcomes["alone", "exact"]]
    for (_, weights), reference in zip(outcomes["together", "exact"], alone, strict=True):
        for kept in ("best", "last"):
            assert list(weights[kept]) == list(reference[kept])
            assert distance(weights[kept], reference[kept]) < 1e-10
        for name, value in reference["last"].items():
            assert (weights["last"][name].dtype, weights["last"][name].shape) == (value.dtype, value.shape), name
            if name.endswith("num_batches_tracked"):
                assert weights["last"][name] == 6
    for one in range(3):
        for other in range(one):
            assert distance(alone[one]["last"], alone[other]["last"]) > 0.1


def test_float32_replicas_round_no_worse_than_their_stand_alone_runs(resnets):
    """In float32 the two ways add in different orders; neither may lie farther from the exact weights."""
    _, outcomes = resnets

    def error(way, replica):
        (_, weights), (_, exact) = outcomes[way, "float32"][replica], outcomes["alone", "exact"][replica]
        assert {value.dtype for value in weights["last"].values()} == {torch.float32, torch.int64}
        return distance(weights["last"], exact["last"])

    for replica in range(3):
        assert error("together", replica) < 2 * error("alone", replica)


def test_records_are_those_of_the_stand_alone_runs(resnets):
    experiments, outcomes = resnets
    pairs = zip(outcomes["together", "exact"], outcomes["alone", "exact"], strict=True)
    for experiment, ((record, _), (reference, _)) in zip(experiments, pairs, strict=True):
        assert record.experiment == experiment
        for name in ("key", "numerics", "counts", "lib", "data_digest"):
            assert getattr(record, name) == getattr(reference, name), name
        assert record.machine == {**reference.machine, "replicas": 3}
        assert [e.epoch for e in record.history] == [1, 2]
        for epoch, other in zip(record.history, reference.history, strict=True):
            assert epoch.learning_rate == other.learning_rate
            assert epoch.train_accuracy == other.train_accuracy
            assert epoch.train_hits == other.train_hits
            assert epoch.train_loss == pytest.approx(other.train_loss, rel=1e-6)
            assert epoch.test.confusion == other.test.confusion
            assert epoch.test.loss == pytest.approx(other.test.loss, rel=1e-6)
            assert epoch.test.calibration_error == pytest.approx(other.test.calibration_error, abs=1e-6)
            assert epoch.validation is None


@pytest.mark.parametrize(
    "fields",
    [
        {"learning_rate": 0.1, "steps": [1]},
        {"schedule": "one_cycle", "nesterov": True, "augmentation": False, "validation": 0.25},
        {"momentum": 0.0, "warmup": 2, "batch_size": 64},
    ],
    ids=["steps", "one_cycle", "one small batch"],
)
def test_convnet_replicas_are_their_stand_alone_runs(few, fields):
    experiments, dataset = mixed(**{"model": "ConvNet", "epochs": 3, **fields}), few(80, 20)
    for experiment, (record, weights) in zip(experiments, together(experiments, dataset), strict=True):
        reference, expected = run(experiment, dataset)
        start = models.build("ConvNet", experiment.seed).state_dict()
        assert distance(weights["last"], expected["last"]) < 1e-3 * distance(expected["last"], start)
        assert distance(weights["best"], expected["best"]) < 1e-3 * distance(expected["best"], start)
        for epoch, other in zip(record.history, reference.history, strict=True):
            assert epoch.learning_rate == other.learning_rate
            assert epoch.train_loss == pytest.approx(other.train_loss, rel=1e-5)
            assert epoch.test.loss == pytest.approx(other.test.loss, rel=1e-5)
            assert (epoch.validation is None) == (other.validation is None)
            if other.validation:
                assert epoch.validation.loss == pytest.approx(other.validation.loss, rel=1e-5)


def test_sigmoid_replicas_start_as_rare_and_spare_their_output_bias_from_decay(few):
    """A decay that would take a third of the bias."""
    fields = {"model": "ConvNet", "loss": "sigmoid_focal", "learning_rate": 0.01, "weight_decay": 2, "gamma": 0.5}
    experiments = [small(**TAIL, **fields, seed=1), small(**TAIL, **fields, seed=2, beta=0.99)]
    dataset = few(80, 20)
    for experiment, (record, weights) in zip(experiments, together(experiments, dataset), strict=True):
        reference, expected = run(experiment, dataset)
        torch.testing.assert_close(weights["last"], expected["last"], rtol=1e-4, atol=1e-6)
        assert weights["last"]["output.bias"].mean() < -2.1  # from -log 9 = -2.197
        calibration = reference.last.test.calibration_error
        assert record.last.test.calibration_error == pytest.approx(calibration, abs=1e-5)


@pytest.mark.parametrize("augmentation", [True, False])
@pytest.mark.parametrize("block", [1, 256])
def test_each_replica_sees_the_batches_of_its_stand_alone_run(few, monkeypatch, augmentation, block):
    monkeypatch.setitem(replicas._BLOCK, "cpu", block)
    experiments = [small(seed=seed, augmentation=augmentation) for seed in (3, 4, 3)]
    training = few().train
    blocks = list(replicas._batches(training, experiments, number=2))
    assert [labels.shape for _, labels in blocks] == [(3, 16)] * 5
    blocks = list(replicas._batches(training, [e.replace(batch_size=30) for e in experiments], number=2))
    assert [labels.shape for _, labels in blocks] == [(3, 30), (3, 30), (3, 20)]
    for replica, experiment in enumerate(experiments):
        alone = training_batches(training, batch_size=30, seed=experiment.seed, epoch=2, augmentation=augmentation)
        for (images, labels), (expected, targets) in zip(blocks, alone, strict=True):
            assert torch.equal(images[replica], expected)
            assert torch.equal(labels[replica], targets)


def test_every_loss_is_that_of_its_replica_and_so_is_its_gradient():
    counts = [5, 9, 1, 40, 3, 3, 2, 60, 8, 7]
    free = [
        {"loss": "focal", "gamma": 2},
        {},
        {"beta": 0.9},
        {"loss": "focal", "gamma": 0.5, "beta": 0.99, "normalisation": "weights"},
        {"beta": 0.99, "normalisation": "weights"},
        {"loss": "focal", "gamma": 2, "beta": 0.9},
    ]
    experiments = [small(**fields) for fields in free]
    generator = torch.Generator().manual_seed(0)
    logits = (5 * torch.randn(len(free), 7, 10, generator=generator)).requires_grad_()
    labels = torch.randint(10, (len(free), 7), generator=generator)
    each = replicas._losses(experiments, counts, CPU)(logits, labels)
    (gradients,) = torch.autograd.grad(each.sum(), logits)
    for replica, fields in enumerate(free):
        own = logits[replica].detach().requires_grad_()
        loss = losses.build(**{"name": "cross_entropy", **_named(fields)}, counts=counts)(own, labels[replica])
        (gradient,) = torch.autograd.grad(loss, own)
        torch.testing.assert_close(each[replica], loss)
        torch.testing.assert_close(gradients[replica], gradient)


def _named(fields):
    return {"name" if key == "loss" else key: value for key, value in fields.items()}


def test_a_replica_that_diverges_leaves_the_others_undisturbed(few, monkeypatch):
    """The second of three, from its second epoch on: three steps are an epoch."""
    calls = 0

    def spoilt(logits, targets, weights, gamma, normalisation):
        nonlocal calls
        calls += 1
        return losses.focal(logits, targets, weights, gamma, normalisation) * (float("nan") if calls > 3 else 1)

    free = ({"seed": 1}, {"loss": "focal", "gamma": 1}, {"seed": 2, "beta": 0.9})
    experiments = [small(model="ResNet-32", epochs=3, **fields) for fields in free]
    dataset, seen = few(40, 10), []
    healthy = together(experiments, dataset)
    monkeypatch.setitem(losses.LOSSES, "focal", spoilt)
    outcomes = together(experiments, dataset, on_epoch=lambda e, epoch: seen.append((e, epoch.epoch)))
    for outcome, expected in zip(outcomes[::2], healthy[::2], strict=True):
        for kept in ("best", "last"):
            assert all(torch.equal(value, expected[1][kept][name]) for name, value in outcome[1][kept].items())
        assert [e.train_loss for e in outcome[0].history] == [e.train_loss for e in expected[0].history]
    calls = 0
    with pytest.raises(Diverged, match="nan in epoch 2, step 1 of 3") as alone:
        run(experiments[1], dataset)
    assert isinstance(outcomes[1], Diverged)
    assert str(outcomes[1]) == str(alone.value)
    assert outcomes[1].__traceback__ is None  # it would keep every tensor of the training
    assert seen == [(e, 1) for e in experiments] + [(e, n) for n in (2, 3) for e in experiments[::2]]


def test_when_all_diverge_the_group_stops_with_what_each_run_would_say(few, monkeypatch):
    """One step an epoch: its loss was finite, the model after it is not."""
    epochs, train_epoch = [], replicas._train_epoch
    monkeypatch.setattr(replicas, "_train_epoch", lambda *settings: epochs.append(1) or train_epoch(*settings))
    experiments = [small(model="ConvNet", learning_rate=1e38, epochs=3, batch_size=80, seed=s) for s in (0, 1)]
    outcomes = together(experiments, few(), on_epoch=lambda *_: pytest.fail("no epoch was finished"))
    assert len(epochs) == 1
    for experiment, outcome in zip(experiments, outcomes, strict=True):
        with pytest.raises(Diverged) as alone:
            run(experiment, few())
        assert "test loss became" in str(outcome)
        assert str(outcome) == str(alone.value)


def test_time_is_shared_out_so_that_it_adds_up(few, monkeypatch):
    clock = iter(range(0, 1000, 6))
    monkeypatch.setattr(replicas.time, "perf_counter", lambda: next(clock))  # start, trained, evaluated
    experiments, seen = [small(seed=seed) for seed in range(4)], []
    outcomes = together(experiments, few(), origin="params/x.yaml", on_epoch=lambda *news: seen.append(news))
    for record, _ in outcomes:
        assert [e.seconds for e in record.history] == [3, 3]  # 12 by 4
        assert record.wall_time == 6
        assert [e.images_per_second for e in record.history] == [pytest.approx(80 / 6)] * 2
        assert record.origin == "params/x.yaml"
    assert [(e, epoch.epoch) for e, epoch in seen] == [(e, n) for n in (1, 2) for e in experiments]


def test_best_and_last_weights_are_those_of_their_epochs(few):
    dataset = few(80, 40)
    outcomes = together([small(epochs=6, learning_rate=0.05, seed=seed) for seed in range(3)], dataset)
    assert any(record.best.epoch < 6 for record, _ in outcomes)
    for record, weights in outcomes:
        for name, epoch in (("best", record.best), ("last", record.last)):
            model = models.build("TwoLayerNet", 9)
            model.load_state_dict(weights[name])
            assert replicas.evaluate(model, dataset.test, "float32").confusion == epoch.test.confusion, name


def test_bfloat16_computes_in_it_and_stays_near_its_stand_alone_run(few):
    for model in ("VanillaCNN", "ResNet-32"):
        experiments, dataset = mixed(model=model, precision="bfloat16", learning_rate=0.001), few(40, 10)
        (exact, _), *_ = together([experiments[0].replace(precision="float32")], dataset)
        for experiment, (record, weights) in zip(experiments, together(experiments, dataset), strict=True):
            reference, _ = run(experiment, dataset)
            assert record.last.train_loss == pytest.approx(reference.last.train_loss, rel=0.02)
            assert record.last.train_loss != exact.last.train_loss
            assert weights["last"]["output.weight"].dtype == torch.float32


def test_groups_hold_what_can_be_trained_together_in_order():
    a, b, c = mixed(model="ConvNet")
    sigmoid = [small(**TAIL, model="ConvNet", loss="sigmoid_focal", gamma=gamma) for gamma in (0, 1)]
    other = a.replace(learning_rate=0.5)
    split = groups([a, sigmoid[0], b, other, c, sigmoid[1]], most=2)
    assert split == [[a, b], [c], sigmoid, [other]]
    assert groups([a, b, c], most=3) == [[a, b, c]]
    assert groups([], most=3) == []
    assert together([], None) == []


@pytest.mark.parametrize(
    ("field", "value"),
    [(name, value) for name, value in {
        "data": "cifar10", "imbalance": "exponential", "factor": 0.5, "subset_seed": 1, "validation": 0.5,
        "augmentation": False, "model": "VanillaCNN", "epochs": 3, "batch_size": 8, "learning_rate": 0.5,
        "momentum": 0.5, "nesterov": True, "weight_decay": 0.5, "schedule": "one_cycle", "steps": (1,),
        "warmup": 1, "precision": "bfloat16",
    }.items()],
)  # fmt: skip
def test_runs_that_differ_in_more_than_the_loss_and_the_seed_are_refused(few, field, value):
    one = small(**TAIL, seed=1)
    with pytest.raises(UserError, match=f"may differ in seed, loss, .* alone, not in .*{field}"):
        together([one, one.replace(seed=2), one.replace(**{field: value})], few())


def test_every_field_is_either_free_or_refused():
    (mark,) = test_runs_that_differ_in_more_than_the_loss_and_the_seed_are_refused.pytestmark
    assert {field for field, _ in mark.args[1]} | set(replicas.FREE) == set(Experiment.model_fields)


def test_the_sigmoid_loss_is_not_mixed_with_others(few):
    with pytest.raises(UserError, match="not in whether the loss is sigmoid_focal"):
        together([small(loss="focal"), small(loss="sigmoid_focal")], few())


def test_a_graph_is_refused_without_cuda(few):
    with pytest.raises(UserError, match=r"^A CUDA graph needs a CUDA device, not 'cpu'; [^.]*\.$"):
        together([small()], few(), graph=True)


def test_capturing_a_graph_leaves_no_trace_in_weights_statistics_or_momentum(few, monkeypatch):
    """With CUDA's parts replaced: what is recorded does nothing, and a replay takes a step on the static batch."""
    experiments = mixed(model="ResNet-32", batch_size=10, learning_rate=2**-9)
    training, counts = replicas.training_part(few(40, 20), experiments[0])[0], [4] * 5 + [1] * 5
    plain, graphed = (replicas._Stack(experiments, counts, CPU) for _ in range(2))
    step, graph, steps = graphed.step, replicas._Graph(graphed, 10), []

    class Fake:
        def wait_stream(self, other):
            pass

        def replay(self):
            graph.result.copy_(step(graph.images, graph.labels))

    class Recording:
        def __init__(self, recorded, stream):
            assert isinstance(recorded, Fake)

        def __enter__(self):
            assert all(p.grad is None for p in graphed.network.parameters())
            graphed.step = lambda images, labels: torch.zeros(1 + 10, 3)  # a loss and ten classes, three runs

        def __exit__(self, *_):
            graphed.step = counted

    def counted(images, labels):
        steps.append(labels.shape[1])
        return step(images, labels)

    graphed.step = counted
    for name, fake in {"Stream": Fake, "current_stream": Fake, "CUDAGraph": Fake, "graph": Recording}.items():
        monkeypatch.setattr(torch.cuda, name, fake)
    monkeypatch.setattr(torch.cuda, "stream", lambda _: nullcontext())

    expected, results = [], []
    for number in (1, 2):
        expected.append(replicas._train_epoch(plain, plain.step, training, experiments, number))
        results.append(replicas._train_epoch(graphed, graph, training, experiments, number))
    assert steps == [10, 10, 10, 5, 5]  # warm-up, and each epoch's last batch
    for result, reference in zip(results, expected, strict=True):
        assert torch.equal(result[0], reference[0])
        assert torch.equal(result[1], reference[1])
    for name, value in plain.network.state_dict().items():
        assert torch.equal(graphed.network.state_dict()[name], value), name
    for one, other in zip(plain.optimizer.state.values(), graphed.optimizer.state.values(), strict=True):
        assert torch.equal(one["momentum_buffer"], other["momentum_buffer"])


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_graph_on_cuda_trains_as_the_eager_steps_do(few, precision):
    experiments = mixed(model="ConvNet", learning_rate=0.1, epochs=3, precision=precision)
    eager, graphed = (train_together(experiments, few(80, 20), graph=graph) for graph in (False, True))
    for (record, weights), (reference, expected) in zip(graphed, eager, strict=True):
        torch.testing.assert_close(weights["last"], expected["last"], rtol=1e-2, atol=1e-4)
        for epoch, other in zip(record.history, reference.history, strict=True):
            assert epoch.train_loss == pytest.approx(other.train_loss, rel=1e-2)
