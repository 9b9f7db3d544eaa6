"""The field's methods as a table: which runs they are, what is chosen where, and what a difference is worth."""

import numpy as np
import pytest
import synthetic
import torch
from matplotlib.text import Text
from scipy.stats import kendalltau

from lib.analysis import methods as field
from lib.analysis.logits import adjusted, tau_normalised
from lib.experiment import Experiment
from lib.losses import LOSSES
from lib.notebook import plans
from lib.notebook.parameters import of_profile
from lib.notebook.session import Notebook
from lib.system.errors import UserError
from longtail_writeup import comparisons, drawings, findings, sentences

COUNTS = [5000, 2997, 1796, 1077, 645, 387, 232, 139, 83, 50]


@pytest.fixture
def protocol():
    return Notebook(headless=True, origin="", values=of_profile("field", "methods"))


def test_every_method_is_the_run_that_its_name_says(protocol):
    wanted = plans.methods(protocol)
    assert [*wanted] == field.TRAINED
    renamed = {"Focal (sigmoid)": "Sigmoid focal", "CB-Focal (sigmoid)": "CB-Sigmoid focal"}
    for name in [name for name in wanted if wanted[name].code == ""]:  # a person's own may have any name
        assert wanted[name].loss_name == renamed.get(name, name.removesuffix(" (by weights)"))
        assert (wanted[name].normalisation == "weights") == name.endswith("(by weights)")
    for name, e in wanted.items():
        fields = field.METHODS[name].fields
        assert (e.epochs, e.deferred) == ((230, 200) if e.retrain else (200, 160 if "deferred" in fields else 0))
        assert e.beta == (0.9999 if "beta" in fields else None)
    crt, focal = wanted["cRT"], wanted["CB-Focal (sigmoid)"]
    assert (crt.retrain, crt.sampling, crt.loss_name) == (True, "classes", "cRT")
    assert LOSSES[focal.loss].sigmoid
    assert (focal.gamma, focal.deferred) == (1.0, 0)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"loss": "ldma"}, "the method Mine: loss: Input should be one of"),
        ({"los": "ldam"}, "the method Mine: There is no setting 'los'"),
        ({"loss": "ldam", "tau": 1.0}, "the method Mine: its field tau has no effect"),
        ({"gamma": 2.0}, "the method Mine: its field gamma has no effect"),
        ({"deferred": True}, "the method Mine: its field deferred has no effect"),
        ({"beta": 0.9, "deferred": 0}, "the method Mine: its field deferred has no effect"),
    ],
)
def test_a_method_whose_fields_are_wrong_or_without_effect_is_an_error(protocol, monkeypatch, fields, said):
    monkeypatch.setitem(field.METHODS, "Mine", field.Method(fields=fields))
    with pytest.raises(UserError, match=said):
        plans.methods(_asking(protocol, "Mine"))


def _asking(protocol, *names):
    return Notebook(headless=True, origin="", values=protocol.values | {"methods": [*names]})


def test_a_methods_own_numbers_are_kept(protocol, monkeypatch):
    own = {"beta": 0.99, "deferred": 100, "validation": 0.1, "loss": "ldam", "steps": [150]}
    monkeypatch.setitem(field.METHODS, "Mine", field.Method(fields=own))
    made = plans.methods(_asking(protocol, "Mine"))["Mine"]
    assert (made.beta, made.deferred, made.validation, made.loss, made.steps) == (0.99, 100, 0.1, "ldam", (150,))


@pytest.mark.parametrize("wrong", ["CE: {}", "CE: {fields: {}, publishd: []}", "CE: {fields: {}, published: [29.64]}"])
def test_a_wrong_entry_is_named(tmp_path, wrong):
    (tmp_path / "methods.yaml").write_text(wrong)
    with pytest.raises(UserError, match=r"^methods\.yaml: .*CE"):
        field._read(tmp_path / "methods.yaml")


def test_the_protocol_is_the_fields(protocol):
    """Cui et al. 2019 and Cao et al. 2019: 200 epochs, batch 128, rate 0.1, weight decay 2e-4, times 0.01 twice."""
    assert plans.methods(protocol)["CE"] == Experiment.make(
        **{
            "data": "cifar10",
            "imbalance": "exponential",
            "factor": 0.01,
            "model": "ResNet-32",
            "precision": "bfloat16",
        },
        **{"epochs": 200, "batch_size": 128, "learning_rate": 0.1, "momentum": 0.9, "weight_decay": 2e-4},
        **{"warmup": 5, "steps": [160, 180], "decay": 0.01, "evaluate_every": 5},
    )


def test_every_number_of_epochs_is_divided_by_five(protocol):
    long, short = plans.methods(protocol), plans.methods(protocol, shorter=5)
    for name, e in short.items():
        whole = long[name]
        assert (5 * e.epochs, 5 * e.warmup, 5 * e.deferred) == (whole.epochs, whole.warmup, whole.deferred)
        assert [5 * step for step in e.steps] == [*whole.steps]
        changed = {"epochs", "warmup", "deferred", "steps"}
        assert e.model_dump(exclude=changed) == whole.model_dump(exclude=changed)


def test_branches_share_what_comes_before_them(protocol):
    wanted = plans.methods(protocol, shorter=5)
    trunk = wanted["CE"]
    for name in ("CE-DRW", "CE-DRS", "Balanced softmax (deferred)", "cRT"):
        assert wanted[name].prefix(32) == trunk.prefix(32)
    assert wanted["cRT"].prefix(40) == trunk.prefix(40)
    assert wanted["LDAM-DRW"].prefix(32) == wanted["LDAM"].prefix(32) != trunk.prefix(32)


class Kept:
    """Tensors by run, as a store gives them: those of the last layer alone, or in older runs of the whole network."""

    def __init__(self, tensors):
        self.tensors = lambda record, name: tensors[record.experiment.seed][name]
        self.file = lambda key, name: any(name.partition(".")[0] in kept for kept in tensors.values())


def correct_from(tau, labels, images="test"):
    """Logits whose adjusted answers are right from `tau` on: a rare class behind a frequent one by tau log n / n'."""
    logits = torch.full((len(labels), 10), -50.0)
    prior = torch.tensor(COUNTS).double().div(sum(COUNTS)).log()
    for row, y in enumerate(labels.tolist()):
        logits[row, y] = 0.0
        logits[row, 0] = logits[row, 0] if y == 0 else (tau - 0.1) * float(prior[0] - prior[y])
    return {images: logits}


def test_tau_is_chosen_on_held_out_images_and_the_test_sets_choice_stands_beside_it():
    labels = torch.arange(10).repeat(20)
    output = {"weight": torch.eye(10), "bias": torch.zeros(10)}
    split = {0: {"logits": correct_from(0.5, labels, "validation"), "output": output}}
    held = {0: synthetic.record(0, 0.5)}
    taus = [0.0, 0.5, 1.0, 1.5]
    chosen = field.choose_taus(held, Kept(split), labels, taus)
    assert chosen == {"Logit adjustment": 0.5, "τ-normalisation": 0.0}
    ce = {3: synthetic.record(3, 0.5)}
    store = Kept({3: {"logits": correct_from(1.0, labels), "output": output}})
    after = field.after_training(ce, store, labels, taus, chosen)
    run = after["Logit adjustment"][3]
    logits = store.tensors(run, "logits")["test"]
    for epoch, tau in ((run.last, 0.5), (run.best, 1.0)):
        right = (adjusted(logits, run.counts, tau).argmax(1) == labels).float().mean()
        assert epoch.test.accuracy == pytest.approx(right.item())
    assert run.best.test.accuracy == 1 > run.last.test.accuracy
    table = comparisons.tau_table(after, chosen, taus)
    assert table.loc["Logit adjustment", "τ"] == "0.5"
    assert float(table.loc["Logit adjustment", "gain of that choice"].split()[0]) > 50


def test_corrections_are_those_of_the_logits():
    record, weight = synthetic.record(0, 0.5), torch.rand(10, 4) + 0.1
    logits, bias = torch.randn(8, 10), torch.randn(10)
    kept = Kept({0: {"logits": {"test": logits.half()}, "output": {"weight": weight, "bias": bias}}})
    found = field.corrections(record, kept, "test")
    half = logits.half().float()
    whole = {"output.weight": weight, "output.bias": bias, "conv.weight": torch.zeros(1)}
    older = Kept({0: {"logits": {"test": logits.half()}, "last": whole}})
    assert field.corrections(record, older, "test")["τ-normalisation"](0.7).equal(
        tau_normalised(half, weight, bias, 0.7)
    )
    assert found["Logit adjustment"](1.0).equal(adjusted(half, record.counts, 1.0))
    assert found["τ-normalisation"](0.7).equal(tau_normalised(half, weight, bias, 0.7))


def around(mean, spread=0.01, seeds=5):
    means = {s: mean + spread * (s - (seeds - 1) / 2) for s in range(seeds)}
    return {s: synthetic.record(s, own, best=own) for s, own in means.items()}


def test_a_table_has_published_and_reproduced_errors_and_no_hole():
    found = {"CE": around(0.70), "LDAM-DRW (by weights)": around(0.77), "cRT": {}}
    table = comparisons.methods(found, published=True)
    assert table.loc["LDAM-DRW (by weights)", "published"] == "22.97 · 22.27"
    assert table.loc["LDAM-DRW (by weights)", "last epoch"].startswith("23.0 ±")
    assert table.loc["LDAM-DRW (by weights)", "gain over CE"].startswith("+7.0 [")
    assert table.loc["CE", "gain over CE"] == "–"
    assert set(table.loc["cRT", ["best epoch", "last epoch", "gain over CE"]]) == {"not run yet"}
    assert list(table.seeds) == [5, 5, 0]
    assert "published" not in comparisons.methods(found, published=False)
    assert set(comparisons.methods({"CE": {}, "cRT": around(0.7)}, published=False)["gain over CE"]) == {
        "–",
        "not run yet",
    }


def test_intervals_use_the_deviation_that_all_methods_have_in_common():
    """One-way analysis of variance: 8 degrees of freedom here, t = 2.306, and 2.752 for two gains together."""
    found = {"CE": around(0.70), "LDAM": around(0.75), "cRT": around(0.8, seeds=1)}
    deviation = 0.01 * np.sqrt(2.5)  # of 0, 1, 2, 3 and 4 points
    assert findings.pooled(found) == (pytest.approx(deviation), 8)
    assert findings.half_interval(found, 5) == pytest.approx(2.306 * deviation / np.sqrt(5), rel=1e-3)
    gain = findings.gain(found, "LDAM")
    assert (gain.mean, gain.high - gain.mean) == pytest.approx((0.05, 2.752 * deviation * np.sqrt(2 / 5)), rel=1e-3)
    one = findings.gain(found, "cRT")  # one seed has an interval too
    assert one.high - one.mean == pytest.approx(2.752 * deviation * np.sqrt(1 + 1 / 5), rel=1e-3)
    assert np.isnan(findings.half_interval({"CE": around(0.7, seeds=1)}, 1))


def test_each_rule_has_its_own_deviation():
    found = {"CE": {s: synthetic.record(s, 0.70 + s / 100, best=0.9) for s in range(3)}}
    row = comparisons.methods(found, published=False).loc["CE"]
    assert (row["best epoch"], row["last epoch"]) == ("10.0 ± 0.0", "29.0 ± 2.5")


def test_corrections_of_a_model_are_compared_with_it_in_pairs_and_are_no_further_runs():
    ce = around(0.70)
    after = {s: synthetic.record(s, r.last.test.accuracy + 0.05, best=0.99) for s, r in ce.items()}
    found = {"CE": ce, "LDAM": around(0.75), "Logit adjustment": after}
    gain = findings.gain(found, "Logit adjustment")
    assert gain.mean == pytest.approx(0.05)
    assert gain.high - gain.low < 0.001  # all pairs differ by the same
    assert findings.pooled(found)[1] == 8
    assert findings.budget(found).epoch == pytest.approx(0)  # the choice of τ is no choice of an epoch
    assert findings.trained_seconds({"CE": ce, "Logit adjustment": after}) == findings.trained_seconds({"CE": ce})


def test_two_pairs_are_taken_as_independent_runs():
    """Student's t with one degree of freedom would give them no interval worth having."""
    ce = around(0.70, seeds=2)
    after = {s: synthetic.record(s, r.last.test.accuracy + 0.05, best=0.99) for s, r in ce.items()}
    found = {"CE": ce, "LDAM": around(0.75), "Logit adjustment": after}
    gain, trained = (findings.gain(found, name) for name in ("Logit adjustment", "LDAM"))
    assert gain.mean == pytest.approx(0.05)
    assert 0 < trained.high - trained.low < gain.high - gain.low < 0.2


def test_the_best_epoch_of_a_new_last_layer_is_one_of_its_own():
    crt = Experiment.make(model="ConvNet", epochs=2, sampling="classes", deferred=1, retrain=True)
    record = synthetic.record(0, 0.5, best=0.99).model_copy(update={"experiment": crt, "key": crt.key})
    assert record.best is record.last


def test_a_protocol_without_epochs_for_a_method_is_an_error_before_any_run(protocol):
    with pytest.raises(UserError, match=r"the method CE-DRW: its field deferred has no effect"):
        plans.methods(_asking(protocol, "CE", "CE-DRW"), shorter=500)
    assert plans.methods(_asking(protocol, "CE", "cRT"), shorter=500)["cRT"].epochs == 2
    values = protocol.values | {"deferred": 7, "epochs": 9, "steps": [8], "methods": ["CE", "CE-DRW"]}
    with pytest.raises(UserError, match=r"CE-DRW with every number of epochs divided by 5: the settings: deferred has"):
        plans.methods(Notebook(headless=True, origin="", values=values | {"deferred": 8}), shorter=5)


def test_pairs_of_published_values_are_of_one_source():
    spread = findings.budget({"CE": around(0.70), "LDAM": around(0.75)})
    assert spread.distinguishable == pytest.approx(2.306 * np.sqrt(2) * spread.seed, rel=1e-3)
    assert all(a[1] != b[1] and a[2] == b[2] for a, b in spread.undecided)
    close = {frozenset((a[1], b[1])) for a, b in spread.undecided}
    assert frozenset(("LDAM-DRW (by weights)", "Balanced softmax")) in close  # 22.27 and 22.46, Zhang et al.
    assert frozenset(("CE", "LDAM-DRW (by weights)")) not in close  # 6.7 and 5.8 points apart
    assert findings.budget({"CE": around(0.70, seeds=1)}) is None
    tight = findings.budget({"CE": around(0.70, spread=0.001)})
    assert len(tight.undecided) < len(spread.undecided) < tight.pairs


def test_protocols_with_the_same_ranking_agree():
    means = dict(zip("abcdefgh", np.linspace(0.6, 0.8, 8), strict=True))
    long = {name: around(mean, spread=0.001) for name, mean in means.items()}
    one_seed = {name: around(mean, seeds=1) for name, mean in means.items()}
    same = findings.agreement(long, one_seed, draws=300)
    assert (same.tau, same.high) == pytest.approx((1, 1))
    assert same.low > 0.85
    reverse = {name: around(1 - mean, spread=0.001) for name, mean in means.items()}
    assert findings.agreement(long, reverse, draws=10).tau == pytest.approx(-1)
    noisy = {name: around(mean, spread=0.1) for name, mean in means.items()}
    found = findings.agreement(noisy, long, draws=300)
    assert found.low < found.tau
    assert found.high == 1
    assert findings.agreement({}, long) is None
    assert findings.agreement(one_seed, one_seed) is None
    equal = {name: around(0.5) for name in means}
    assert findings.agreement(equal, equal, draws=10) is None


@pytest.mark.parametrize("same", [True, False])
def test_the_interval_of_the_agreement_covers_the_truth(same):
    """Means as close as published ones, a run's deviation of 0.6 points, five seeds beside one."""
    random, covered = np.random.default_rng(1), 0
    truth = np.array([0.7, 0.715, 0.72, 0.733, 0.735, 0.746, 0.75, 0.755, 0.77, 0.775])
    other = truth if same else truth[[1, 0, 2, 5, 3, 4, 6, 9, 7, 8]]
    expected = 1.0 if same else kendalltau(truth, other).statistic
    for _ in range(20):
        found = [
            {
                str(k): {s: synthetic.record(s, m + random.normal(0, 0.006)) for s in range(n)}
                for k, m in enumerate(means)
            }
            for means, n in ((truth, 5), (other, 2))
        ]
        interval = findings.agreement(*found, draws=100)
        covered += interval.low <= expected <= interval.high
    assert covered >= 16


def test_epochs_that_runs_share_count_once():
    base = {"model": "ConvNet", "epochs": 4, "steps": [2], "imbalance": "exponential", "factor": 0.01}
    ce, drw = Experiment.make(**base), Experiment.make(**base, beta=0.9999, deferred=2)
    epoch = synthetic.record(0, 0.5).last
    history = [epoch.model_copy(update={"epoch": n, "seconds": float(n)}) for n in range(1, 5)]
    update = {"history": history, "wall_time": 10.0}
    records = [synthetic.record(0, 0.5).model_copy(update=update | {"experiment": e, "key": e.key}) for e in (ce, drw)]
    found = {"CE": {0: records[0]}, "CE-DRW": {0: records[1]}}
    assert findings.trained_seconds(found) == (20, 10 + 3 + 4)
    assert findings.further_training(found) == {"CE": 0, "CE-DRW": 0.5}


def test_the_cost_of_each_method_is_that_beyond_cross_entropys_run(protocol):
    wanted = plans.methods(protocol) | {"Logit adjustment": plans.methods(protocol)["CE"]}
    record = synthetic.record(0, 0.5)
    found = {n: {0: record.model_copy(update={"experiment": e, "key": e.key})} for n, e in wanted.items()}
    costs = findings.further_training(found)
    assert (costs["CE"], costs["Logit adjustment"], costs["Focal (sigmoid)"], costs["LDAM-DRW"]) == (0, 0, 1, 1)
    assert costs["CE-DRW"] == costs["CE-DRS"] == costs["Balanced softmax (deferred)"] == 40 / 200
    assert costs["cRT"] == pytest.approx(30 / 3 / 200)


def test_sentences_say_what_is_inside_the_published_range():
    found = {"CE": around(0.72), "LDAM-DRW (by weights)": around(0.75), "CB-CE": around(0.7), "cRT": {}}
    said = sentences.anchors(found)
    assert "CE inside" in said
    assert "LDAM-DRW (by weights) 2.0 points above" in said  # 25.0 beside 22.97
    assert "CB-CE" not in said  # published for another division of the loss alone
    apart = "CB-Focal (sigmoid) and LDAM-DRW (by weights)"
    assert f"not run, or outside the range of published errors: {apart}.**" in sentences.provisional(found)
    met = {"CE": around(0.72), "CB-Focal (sigmoid)": around(0.75), "LDAM-DRW (by weights)": around(0.773)}
    assert sentences.provisional(met) == ""
    assert "cRT" not in said
    assert "LDAM-DRW (by weights) 22.97 (Cao et al. 2019) and 22.27 (Zhang et al. 2021)" in sentences.sources(found)


def test_the_headline_names_the_lowest_error_also_where_it_is_cross_entropys():
    better = sentences.methods_found({"CE": around(0.70, 0.001), "LDAM": around(0.75, 0.001), "cRT": {}}, 40)
    assert better.startswith(
        "**LDAM has the lowest mean error of 2 methods** at the last epoch of the protocol with 40 epochs."
    )
    assert "It gains +5.0 points [" in better
    assert better.endswith("than cross-entropy (95 %): LDAM; a lower one: none.")
    worse = sentences.methods_found({"CE": around(0.75, 0.001), "LDAM": around(0.70, 0.001)}, 40)
    assert worse.startswith("**CE has the lowest mean error")
    assert "gains" not in worse
    assert worse.endswith("none; a lower one: LDAM.")
    equal = sentences.methods_found({"CE": around(0.7), "LDAM": around(0.7), "Focal (sigmoid)": around(0.6)}, 40)
    assert equal.startswith("**CE and LDAM have the lowest mean error of 3 methods**")
    assert "No method can be compared" in sentences.methods_found({"CE": around(0.7)}, 40)


@pytest.mark.parametrize("seeds", [1, 3])
def test_figures_name_every_method_that_has_runs(seeds):
    found = {"CE": around(0.70, seeds=seeds), "LDAM-DRW": around(0.77, seeds=seeds), "cRT": {}}
    for draw in (drawings.groups, drawings.head_and_tail, drawings.cost):
        figure = draw(found)
        text = " ".join(t.get_text() for t in figure.findobj(lambda artist: hasattr(artist, "get_text")))
        assert "LDAM-DRW" in text
        assert "cRT" not in text


def test_names_in_the_figure_of_costs_do_not_overlap():
    near = {name: around(0.70 + 0.002 * n) for n, name in enumerate(field.METHODS)}
    figure = drawings.cost(near)
    figure.canvas.draw()
    texts = [text for text in figure.axes[0].texts if text.get_text() in near]
    assert len(texts) == len(near)
    boxes = [Text.get_window_extent(text) for text in texts]  # without the line to the mark
    assert not [(a, b) for n, a in enumerate(boxes) for b in boxes[:n] if a.overlaps(b)]
    assert max(box.x1 for box in boxes) < figure.bbox.x1


def test_sigmoids_get_no_calibration_error_of_a_softmax():
    logits = torch.randn(40, 10, generator=torch.Generator().manual_seed(0))
    kept, labels = {"CE": {0: logits, 1: logits}, "β = 0.9": {0: logits, 1: logits}}, torch.arange(40) % 10
    columns = ["calibration error", "with temperature"]
    sigmoid = comparisons.corrected(kept, labels, COUNTS, "sigmoid_focal")
    softmax = comparisons.corrected(kept, labels, COUNTS, "focal")
    assert (sigmoid.loc["β = 0.9", columns] == "–").all()
    assert (sigmoid.loc["CE"] == softmax.loc["CE"]).all()
    assert (softmax.loc["β = 0.9", columns] != "–").all()
