"""Several runs of one small network at once, as replicas of it that are trained in lock-step.

Launching a kernel costs a GPU's host the same for one small network as for many. Here the weights of R runs are
stacked, and every kernel works on all of them. Each replica keeps its own initial weights, batches, loss and
BatchNorm statistics: it takes the steps of its stand-alone run, up to rounding. On a CPU, where a launch costs
next to nothing, this is slower than one run after another.
"""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import chain

import torch
from torch import Tensor, nn

from lib import data, device, losses, models
from lib.data import Dataset, ImageSet
from lib.errors import UserError
from lib.experiment import Experiment
from lib.training.batches import crop_and_flip, draw, normalise
from lib.training.evaluation import evaluate
from lib.training.memory import keep_freed_memory
from lib.training.outcome import Diverged, check_finite, diverged, make_record, plain_weights
from lib.training.precision import autocast
from lib.training.results import Epoch, Evaluation, Record, Weights
from lib.training.schedule import learning_rate
from lib.training.setup import make_optimizer, start_as_rare, to_device, training_part

#: What replicas may differ in. Everything else decides the data, the shapes or the steps.
FREE = ("seed", "loss", "beta", "gamma", "normalisation")
#: Images augmented at a time, all replicas together; a GPU wants them many.
_BLOCK = {"cpu": 256, "cuda": 8192}

Step = Callable[[Tensor, Tensor], Tensor]


def groups(experiments: Sequence[Experiment], most: int) -> list[list[Experiment]]:
    """Split experiments into groups that `train_together` accepts, each of at most `most` (at least 1).

    The order is kept within a group, and groups come in the order of their first members.
    """
    alike: dict[tuple, list[Experiment]] = {}
    for experiment in experiments:
        alike.setdefault(tuple(_shared(experiment).items()), []).append(experiment)
    return [members[i : i + most] for members in alike.values() for i in range(0, len(members), most)]


def train_together(
    experiments: Sequence[Experiment],
    dataset: Dataset | None = None,
    *,
    on: torch.device | None = None,
    on_epoch: Callable[[Experiment, Epoch], None] | None = None,
    origin: str = "",
    graph: bool = False,
) -> list[tuple[Record, dict[str, Weights]] | Diverged]:
    """Train R experiments, which differ in nothing but `FREE`, from start to end.

    Time is shared out, so that the replicas' figures add up to the group's: `seconds` and `wall_time` are the
    group's divided by R, `images_per_second` is a replica's own images by the group's time. A record's
    `machine` says R as "replicas".

    Args:
        dataset, on, origin: as in `train`.
        on_epoch: called for every replica after every epoch.
        graph: replay the step of a full batch as one CUDA graph, instead of launching kernel after kernel.

    Returns:
        For each experiment what `train` returns, or the `Diverged` that it raises; a replica that diverges
        leaves the others undisturbed.

    Raises:
        UserError: the experiments differ in more than `FREE`, or only some use the loss sigmoid_focal; a graph
            is asked for on a device that is not CUDA.
    """
    if not experiments:
        return []
    _check(experiments)
    on = on or device.default_device()
    if graph and on.type != "cuda":
        raise UserError(f"A CUDA graph needs a CUDA device, not {on.type!r}; train with graph=False.")
    keep_freed_memory()
    first = experiments[0]
    dataset = dataset or data.load(first.data)
    training, validation = training_part(dataset, first)
    counts = torch.bincount(training.labels, minlength=len(data.CLASS_NAMES)).tolist()
    training, test = to_device(training, on), to_device(dataset.test, on)
    validation = to_device(validation, on) if validation else None

    stack = _Stack(experiments, counts, on)
    step = _Graph(stack, first.batch_size) if graph else stack.step
    plain = models.build(first.model, 0).to(on, memory_format=torch.channels_last)
    runs = [_Run(experiment) for experiment in experiments]
    for number in range(1, first.epochs + 1):
        start = time.perf_counter()
        batch_losses, hits, rate = _train_epoch(stack, step, training, experiments, number)
        trained = time.perf_counter()
        for replica, run in enumerate(runs):
            if not run.error:
                stack.copy_to(plain, replica)
                run.examine(plain, number, batch_losses[:, replica], test, validation)
        seconds = (time.perf_counter() - start) / len(runs)
        mean_losses = _mean(batch_losses, first.batch_size, len(training))
        for replica, run in enumerate(runs):
            if not run.error:
                epoch = Epoch(
                    epoch=number,
                    learning_rate=rate,
                    train_loss=mean_losses[replica].item(),
                    train_accuracy=hits[replica].sum().item() / len(training),
                    train_hits=hits[replica].int().tolist(),
                    test=run.test,
                    validation=run.validation,
                    seconds=seconds,
                    images_per_second=len(training) / (trained - start),
                )
                run.history.append(epoch)
                if on_epoch:
                    on_epoch(run.experiment, epoch)
        if all(run.error for run in runs):
            break

    shared = {"counts": counts, "dataset": dataset, "origin": origin, "replicas": len(runs)}
    return [run.error or (make_record(run.experiment, run.history, **shared), run.weights) for run in runs]


@dataclass
class _Run:
    """One replica's outcome."""

    experiment: Experiment
    history: list[Epoch] = field(default_factory=list)
    weights: dict[str, Weights] = field(default_factory=dict)
    error: Diverged | None = None
    test: Evaluation | None = None  # these two of the epoch that is being closed
    validation: Evaluation | None = None

    def examine(
        self, plain: nn.Module, number: int, batch_losses: Tensor, test: ImageSet, validation: ImageSet | None
    ) -> None:
        """Evaluate the replica, given as a plain model, after an epoch; keep its weights or its error."""
        experiment, sigmoid = self.experiment, self.experiment.loss == "sigmoid_focal"
        try:
            check_finite(batch_losses, experiment, number)
            self.test = evaluate(plain, test, experiment.precision, sigmoid)
            if not math.isfinite(self.test.loss):
                raise diverged(f"test loss became {self.test.loss} after epoch {number}", experiment)
        except Diverged as error:
            self.error = error.with_traceback(None)  # it would keep the stack's memory for as long as the error
            return
        self.validation = validation and evaluate(plain, validation, experiment.precision, sigmoid)
        if self.test.accuracy > max((epoch.test.accuracy for epoch in self.history), default=-1.0):
            self.weights["best"] = plain_weights(plain)
        if number == experiment.epochs:
            self.weights["last"] = plain_weights(plain)


class _Stack:
    """R networks in one, with the replica as the first dimension of every parameter and buffer."""

    def __init__(self, experiments: Sequence[Experiment], counts: list[int], on: torch.device):
        self.on, self.precision = on, experiments[0].precision
        networks = [models.build(experiment.model, experiment.seed) for experiment in experiments]
        if experiments[0].loss == "sigmoid_focal":
            for network in networks:
                start_as_rare(network)
        # In the place of the first network's tensors the stacked ones keep their names: state dict and optimiser
        # are made as for one network. To SGD, which works number by number, stacking makes no difference.
        self.network = networks[0].train()
        for same in zip(*(network.state_dict(keep_vars=True).values() for network in networks), strict=True):
            same[0].data = torch.stack([tensor.detach() for tensor in same])
        self.network.to(on)
        self.optimizer = make_optimizer(self.network, experiments[0])
        self.losses = _losses(experiments, counts, on)

    def step(self, images: Tensor, labels: Tensor) -> Tensor:
        """Step every replica: images [R, B, 3, H, W] and labels [R, B] to its loss and its hits by class,
        float32 [1 + C, R]."""
        parameters, buffers = dict(self.network.named_parameters()), dict(self.network.named_buffers())
        with autocast(self.on, self.precision):
            logits = torch.vmap(self._forward)(parameters, buffers, images)
        each = self.losses(logits, labels)
        self.optimizer.zero_grad(set_to_none=True)
        each.sum().backward()  # a sum hands every replica the gradient of its own loss; a mean, 1 / R of it
        self.optimizer.step()
        # A class that is no answer of ours stands for what was missed.
        answers = torch.where(logits.detach().argmax(2) == labels, labels, -1)
        hits = (answers.unsqueeze(2) == torch.arange(logits.shape[2], device=self.on)).sum(1)
        return torch.cat([each.detach().unsqueeze(0), hits.T.to(each.dtype)])

    def _forward(self, parameters: dict[str, Tensor], buffers: dict[str, Tensor], images: Tensor) -> Tensor:
        return torch.func.functional_call(self.network, (parameters, buffers), (images,))

    def set_rate(self, rate: float) -> None:
        for group in self.optimizer.param_groups:
            if isinstance(group["lr"], Tensor):
                group["lr"].fill_(rate)
            else:
                group["lr"] = rate

    def copy_to(self, plain: nn.Module, replica: int) -> None:
        plain.load_state_dict({name: value[replica] for name, value in self.network.state_dict().items()})


class _Graph:
    """`_Stack.step` with full batches as a CUDA graph, captured at the first of them; smaller ones go as ever."""

    def __init__(self, stack: _Stack, batch_size: int):
        self.stack, self.batch_size = stack, batch_size
        self.graph: torch.cuda.CUDAGraph | None = None
        rate = torch.zeros((), device=stack.on)  # a plain number would be frozen into the graph
        for group in stack.optimizer.param_groups:
            group["lr"] = rate

    def __call__(self, images: Tensor, labels: Tensor) -> Tensor:
        if images.shape[1] < self.batch_size:
            return self.stack.step(images, labels)
        if not self.graph:
            self._capture(images, labels)
        self.images.copy_(images)
        self.labels.copy_(labels)
        self.graph.replay()
        return self.result.clone()  # the next replay writes over it

    def _capture(self, images: Tensor, labels: Tensor) -> None:
        """Comes before any other step, as an epoch starts with its full batches: there is no momentum yet."""
        stack = self.stack
        self.images, self.labels = images.clone(), labels.clone()
        start = {name: value.clone() for name, value in stack.network.state_dict().items()}
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(3):  # warm-up, as in torch's notes on CUDA graphs
                stack.step(self.images, self.labels)
        torch.cuda.current_stream().wait_stream(side)
        # Undone in place: the graph knows tensors by their addresses. A zero momentum steps as none does.
        stack.network.load_state_dict(start)
        for state in stack.optimizer.state.values():
            if state.get("momentum_buffer") is not None:
                state["momentum_buffer"].zero_()
        stack.optimizer.zero_grad(set_to_none=True)  # so that the graph makes gradients in its own memory
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, stream=side):
            self.result = stack.step(self.images, self.labels)
        self.graph = graph


def _shared(experiment: Experiment) -> dict:
    """What the replicas of a group have in common."""
    # It decides which parameters are spared from weight decay, and how confidence is measured.
    sigmoid = {"whether the loss is sigmoid_focal": experiment.loss == "sigmoid_focal"}
    return experiment.model_dump(exclude=set(FREE)) | sigmoid


def _check(experiments: Sequence[Experiment]) -> None:
    described = [_shared(experiment) for experiment in experiments]
    different = [name for name, value in described[0].items() if any(d[name] != value for d in described)]
    if different:
        raise UserError(
            f"Runs that are trained together may differ in {', '.join(FREE)} alone, not in {', '.join(different)}."
        )


def _losses(experiments: Sequence[Experiment], counts: list[int], on: torch.device) -> Step:
    """Every replica's own loss: a function of logits [R, B, C] and labels [R, B] to float32 [R].

    Replicas whose losses differ in class weights alone share one call.
    """
    alike: dict[tuple, list[int]] = {}
    for replica, e in enumerate(experiments):
        alike.setdefault((e.loss, e.gamma, e.normalisation), []).append(replica)
    calls = []
    for (name, gamma, normalisation), replicas in alike.items():
        settings = {} if name == "cross_entropy" else {"gamma": gamma}
        function = torch.vmap(partial(losses.LOSSES[name], **settings, normalisation=normalisation))
        betas = [experiments[replica].beta for replica in replicas]
        weights = [torch.ones(len(counts)) if b is None else losses.class_balanced_weights(counts, b) for b in betas]
        calls.append((function, torch.tensor(replicas, device=on), torch.stack(weights).to(on)))
    back = torch.tensor(list(chain(*alike.values()))).argsort().to(on)

    def each(logits: Tensor, labels: Tensor) -> Tensor:
        parts = [loss(logits.index_select(0, r), labels.index_select(0, r), weights) for loss, r, weights in calls]
        return torch.cat(parts).index_select(0, back)

    return each


def _train_epoch(
    stack: _Stack, step: Step, training: ImageSet, experiments: Sequence[Experiment], number: int
) -> tuple[Tensor, Tensor, float]:
    """One epoch; returns losses [steps, R] and hits [R, C], on the CPU, and the last rate."""
    first = experiments[0]
    steps = math.ceil(len(training) / first.batch_size)
    rate, results = first.learning_rate, []
    for position, (images, labels) in enumerate(_batches(training, experiments, number)):
        rate = learning_rate(first, (number - 1) * steps + position, steps)
        stack.set_rate(rate)
        results.append(step(images, labels))
    results = torch.stack(results).cpu()  # the device is asked once
    return results[:, 0], results[:, 1:].sum(0).T, rate


def _batches(training: ImageSet, experiments: Sequence[Experiment], number: int) -> Iterator[tuple[Tensor, Tensor]]:
    """The batches of every stand-alone run, side by side: float32 [R, B, 3, H, W] and int64 [R, B]."""
    size, on = experiments[0].batch_size, training.labels.device
    draws = [draw(experiment.seed, number, len(training)) for experiment in experiments]
    order = torch.stack([d.order for d in draws]).to(on)
    offsets = torch.stack([d.offsets for d in draws]).to(on)
    flips = torch.stack([d.flips for d in draws]).to(on)
    block = size * max(1, _BLOCK[on.type] // (size * len(experiments)))
    for start in range(0, len(training), block):
        part = slice(start, start + block)
        chosen = order[:, part]
        images, labels = training.images[chosen.flatten()], training.labels[chosen]
        if experiments[0].augmentation:
            images = crop_and_flip(images, offsets[:, part].flatten(0, 1), flips[:, part].flatten())
        images = normalise(images).unflatten(0, chosen.shape)
        yield from zip(images.split(size, 1), labels.split(size, 1), strict=True)


def _mean(batch_losses: Tensor, batch_size: int, n: int) -> Tensor:
    """Mean over n images, of which the last batch may hold fewer: [steps, R] to [R]."""
    sizes = torch.full((len(batch_losses), 1), float(batch_size))
    sizes[-1] = n - (len(batch_losses) - 1) * batch_size
    return (batch_losses * sizes).sum(0) / n
