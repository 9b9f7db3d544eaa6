"""One training run as a value: complete, frozen, validated, and with a key.

Equal experiments have equal keys and are trained once. What cannot change the outcome (the gamma of a cross-entropy,
the milestones of a one-cycle schedule) has one canonical value, so that two spellings of a run are one experiment.
"""

import hashlib
import json
from itertools import zip_longest
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, Field, ValidationError, model_validator

from lib.data import DATASETS
from lib.losses import LOSSES, LossKind
from lib.models import MODELS, CosineOutput
from lib.system import device, source
from lib.system.errors import UserError, explain, quoted

#: Version of everything that decides the numbers of a run: initialisation, data order, augmentation, loss
#: arithmetic, schedule, optimiser, evaluation. tests/unit/test_golden.py pins a tiny run; when it fails because
#: the numbers were meant to change, raise this, and every stored record goes out of use.
NUMERICS_VERSION = 1


def _code(model: str, loss: str, data: str) -> str:
    """Return which of the three is not as it was shipped, each with the digest of its code; usually ""."""
    found = {model: source.digest(MODELS[model]), loss: loss_code(LOSSES[loss])}
    reads = DATASETS[data]  # the content of the shipped ones is verified whenever they are loaded
    values = [getattr(reads, name, None) for name in ("CLASSES", "MEAN", "STD")]
    found[data] = source.digest(*values, None if data in source.SHIPPED else reads.load)
    return ", ".join(f"{name} {digest}" for name, digest in found.items() if source.SHIPPED.get(name) != digest)


def loss_code(kind: LossKind) -> str:
    """Return the digest of a loss's code, with that of the last layer which it needs."""
    return source.digest(kind.build, kind.sigmoid, CosineOutput if kind.cosine else None)


def _whole(value: Any) -> Any:
    """PyYAML reads 1e3 as a string; accept every spelling of a whole number."""
    try:
        return int(float(value)) if isinstance(value, str | float) and float(value).is_integer() else value
    except (ValueError, OverflowError):
        return value


def _named_in(registry: dict[str, Any]) -> AfterValidator:
    """A name in a registry, looked up when an experiment is made: registering a loss is enough to use it."""

    def check(name: str) -> str:
        if name not in registry:
            raise ValueError(f"Input should be one of {', '.join(map(repr, registry))}")
        return name

    return AfterValidator(check)


Whole = Annotated[int, BeforeValidator(_whole)]
Fraction = Annotated[float, Field(ge=0, lt=1)]
Number = Annotated[Whole, Field(ge=1, le=10**6)]


class Experiment(BaseModel, frozen=True, extra="forbid", allow_inf_nan=False):
    """Everything that decides the outcome of one training run; `Experiment.make` builds it."""

    # data
    data: Annotated[str, _named_in(DATASETS)] = "cifar10"
    imbalance: Literal["none", "exponential", "step"] = "none"
    factor: Annotated[float, Field(gt=0, le=1)] = 1.0  # images of the rarest class / the most frequent
    subset_seed: Annotated[Whole, Field(ge=0, lt=2**32)] = 0  # draws the subset, apart from the training seed
    validation: Fraction = 0.0  # share of every class held out of training; 0: none, the write-up's way
    augmentation: bool = True  # random crop 32 with padding 4, random horizontal flip
    sampling: Literal["images", "classes"] = "images"  # every image once an epoch; or a class drawn uniformly first
    mixup: Annotated[float, Field(ge=0)] = 0.0  # alpha of Beta(alpha, alpha), which mixes two images; 0: none
    # model and loss
    model: Annotated[str, _named_in(MODELS)]
    loss: Annotated[str, _named_in(LOSSES)] = "cross_entropy"
    beta: Annotated[float, Field(ge=0, le=1)] | None = None  # class-balancing; None: every class weighs 1
    gamma: Annotated[float, Field(ge=0)] = 0.0
    tau: Annotated[float, Field(ge=0)] = 0.0  # logit adjustment of cross-entropy; 1 is the balanced softmax
    deferred: Annotated[Whole, Field(ge=0, le=10**6)] = 0  # epochs before beta, tau and the sampling of classes act
    retrain: bool = False  # after them a new last layer alone is trained, all else frozen (cRT), by a cosine schedule
    normalisation: Literal["count", "weights"] = "count"
    # optimiser and schedule
    epochs: Number
    batch_size: Number = 32
    learning_rate: Annotated[float, Field(gt=0)] = 0.01
    momentum: Fraction = 0.9
    nesterov: bool = False
    weight_decay: Annotated[float, Field(ge=0)] = 0.0005
    schedule: Literal["steps", "one_cycle"] = "steps"
    steps: tuple[Number, ...] = (6, 8)  # after each of these epochs the rate is multiplied by `decay`
    decay: Annotated[float, Field(gt=0, le=1)] = 0.1
    warmup: Annotated[Whole, Field(ge=0, le=10**6)] = 0  # epochs of linear warm-up (steps)
    # numerics and evaluation
    evaluate_every: Number = 1  # epochs between two evaluations; the last ten are evaluated, also before `retrain`
    seed: Annotated[Whole, Field(ge=0, lt=2**32)] = 0
    precision: Literal["float32", "bfloat16"] = "float32"  # bfloat16: autocast; weights stay float32
    code: str = ""  # digests of an own or edited model, loss or data set; set by `make`

    @model_validator(mode="after")
    def _canonical_and_consistent(self) -> "Experiment":
        # After validation, so that a misspelt value is refused before it could be replaced.
        neutral: dict[str, Any] = {}
        if self.imbalance == "none" or self.factor == 1:
            neutral.update(imbalance="none", factor=1.0)
            if not self.validation:
                neutral["subset_seed"] = 0  # it draws the validation split too
        if not LOSSES[self.loss].has_gamma:
            neutral["gamma"] = 0.0
        if not LOSSES[self.loss].has_tau:
            neutral["tau"] = 0.0
        if self.beta is None:
            neutral["normalisation"] = "count"  # with weights of 1 both are the mean
            if not neutral.get("tau", self.tau) and self.sampling == "images" and not self.retrain:
                neutral["deferred"] = 0
        if self.schedule == "one_cycle":
            neutral.update(steps=(), warmup=0)
        if not neutral.get("steps", self.steps):
            neutral["decay"] = 0.1
        self.__dict__.update(neutral)  # frozen for everybody else
        if list(self.steps) != sorted(self.steps):
            raise ValueError(f"steps have to grow, not {quoted(list(self.steps))}")
        if self.nesterov and not self.momentum:
            raise ValueError("nesterov needs a momentum above 0")
        if self.deferred and self.deferred >= self.epochs:
            raise ValueError(f"deferred has to be less than the {self.epochs} epochs, not {self.deferred}")
        if self.retrain and not self.deferred:
            raise ValueError("retrain needs `deferred`, the epochs of the whole network before")
        return self

    @classmethod
    def make(cls, **fields: Any) -> "Experiment":
        """Build an experiment, with a precision for "auto" and today's code; UserError names wrong fields."""
        if fields.get("precision") == "auto":
            here = device.default_device().type  # bfloat16 where it computes in it
            fields["precision"] = "bfloat16" if device.has_bfloat16(here) else "float32"
        try:
            made = cls(**fields)
            return made.model_copy(update={"code": _code(made.model, made.loss, made.data)})
        except ValidationError as error:
            raise UserError(explain(error.errors(), known=sorted(cls.model_fields))) from None

    def replace(self, **changes: Any) -> "Experiment":
        """The same experiment with some fields changed, validated anew."""
        return self.make(**{**self.model_dump(), **changes})

    @property
    def any_seed(self) -> "Experiment":
        """The experiment with seed 0: equal for runs that differ in their seed alone, also those of older code."""
        return self.model_copy(update={"seed": 0})

    @property
    def key(self) -> str:
        """16 hexadecimal digits: digest of the numerics version and every field not at its default.

        Leaving defaults out lets a later version add a field without putting stored records out of use.
        """
        described = {**self.model_dump(mode="json", exclude_defaults=True), "numerics": NUMERICS_VERSION}
        return hashlib.sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()[:16]

    @property
    def scheduled(self) -> int:
        """The epochs of `schedule`: all but those in which the last layer alone is trained."""
        return self.deferred if self.retrain else self.epochs

    @property
    def evaluated(self) -> list[int]:
        """The epochs after which the model is evaluated."""
        ends = {n for end in (self.scheduled, self.epochs) for n in range(end - 9, end + 1)}
        return [n for n in range(1, self.epochs + 1) if n % self.evaluate_every == 0 or n in ends]

    def prefix(self, epochs: int) -> str:
        """Key of what decides the first `epochs` epochs: runs that share it have the same state after them."""
        own: dict[str, Any] = {"evaluate_every": 1, "steps": tuple(step for step in self.steps if step < epochs)}
        if epochs <= self.scheduled:  # later ones depend on their number
            free = self.schedule == "steps" and not LOSSES[self.loss].progressive
            own["epochs"] = epochs if free else self.scheduled
        if self.deferred >= epochs:
            own |= {"beta": None, "tau": 0.0, "sampling": "images", "retrain": False}
        seen = [epoch for epoch in self.evaluated if epoch <= epochs]
        return hashlib.sha256(f"{self.replace(**own).key} {seen}".encode()).hexdigest()[:16]

    @property
    def loss_name(self) -> str:
        """The method as the field writes it: CE, Focal, CB-CE, CB-Focal, LDAM-DRW, CE-DRS, Balanced softmax."""
        name = LOSSES[self.loss].label
        if self.tau:
            name = "Balanced softmax" if (name, self.tau) == ("CE", 1) else f"LA-{name} τ {self.tau:g}"
        if self.beta is not None:
            name = f"{name}-DRW" if self.deferred else f"CB-{name}"
        if self.retrain:
            name = "cRT" if (name, self.sampling) == ("CE", "classes") else f"{name} (retrained output)"
        elif self.sampling == "classes":
            name += "-DRS" if self.deferred else "-CBS"
        if self.tau and self.deferred and self.beta is None:
            name += " (deferred)"
        return f"{name} + mixup" if self.mixup else name

    @property
    def title(self) -> str:
        """A short name for progress lines: model, loss, beta, seed."""
        return f"{self.setting} seed {self.seed}"

    @property
    def setting(self) -> str:
        """The title without the seed."""
        return f"{self.model} {self.loss_name}" + ("" if self.beta is None else f" β {self.beta:g}")


for _model, _loss, _data in zip_longest(MODELS, LOSSES, DATASETS):  # as they are loaded: they may be edited from now on
    _code(_model or "ConvNet", _loss or "focal", _data or "sample")
