"""The panels of explore.ipynb: left out if headless, quick with widgets; Papermill trains the run that they save."""

import asyncio
import base64
import http.client
import json
import os
import re
import shlex
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import ipywidgets
import matplotlib as mpl
import matplotlib.pyplot as plt
import nbformat
import numpy as np
import pandas as pd
import pytest
import tornado.websocket
from conftest import small
from test_pipeline import run

from explore import mistakes, runs, tryout
from lib import data, losses, models
from lib.analysis import plots
from lib.analysis.methods import TRAINED
from lib.data import ImageSet
from lib.experiment import Experiment
from lib.models import MODELS
from lib.notebook import parameters, plans, session
from lib.runs import sweep
from lib.runs.store import Store, everything
from lib.system import paths
from lib.system.errors import UserError

CLASSES = data.classes("cifar10")
COUNTS = [5000, 2997, 1796, 1077, 645, 387, 232, 139, 83, 50]
panel = {name: sys.modules[f"explore.{name}"] for name in ("imbalance", "mistakes", "runs", "tryout")}
del mistakes, runs, tryout


@pytest.fixture
def page(monkeypatch):
    """A function: a panel as a person has it, and the parts that it puts on the page."""
    from explore import page

    def shown(show, *arguments):
        parts = []
        monkeypatch.setattr(page, "show", lambda *those: parts.extend(those))
        show(*arguments)
        return parts

    monkeypatch.setattr(page, "on_stored", {})
    return shown


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Two settings from two seeds each: their folder, and the records."""
    folder = tmp_path_factory.mktemp("trained")
    base = small(imbalance="exponential", factor=0.05)
    wanted = [e.replace(seed=s) for e in (base, base.replace(loss="focal", gamma=1, beta=0.9)) for s in (0, 1)]
    return folder, sweep.run(wanted, store=Store(folder), workers=1, on_epoch=lambda *_: None)


@pytest.fixture
def here(trained, tmp_path, monkeypatch):
    """Outputs of its own, with those runs."""
    folder, records = trained
    shutil.copytree(folder, tmp_path / "runs")
    monkeypatch.setattr(paths, "RUNS", tmp_path / "runs")
    monkeypatch.setattr(paths, "PUBLISHED", tmp_path / "published")
    monkeypatch.setattr(paths, "PARAMS", tmp_path / "params")
    (tmp_path / "params").mkdir()
    return records


def test_without_a_person_one_sentence_is_shown_and_no_widget_is_made(tmp_path):
    out = tmp_path / "explore.ipynb"
    result = run(
        *(sys.executable, "-m", "papermill", paths.NOTEBOOKS / "explore.ipynb", out),
        *("-p", "headless", "True", "-p", "dataset", "sample"),
        outputs=tmp_path / "outputs",
    )
    assert result.returncode == 0, result.stderr
    outputs = [o for cell in nbformat.read(out, 4).cells if cell.cell_type == "code" for o in cell.outputs]
    said = "The panels of this notebook need a page with widgets; set headless = False."
    assert [o.get("data", {}).get("text/plain") for o in outputs] == [said]


def test_the_loss_is_drawn_anew_in_less_than_a_tenth_of_a_second():
    from explore.page import picture

    plots = panel["imbalance"].Plots(CLASSES, COUNTS)
    plots.pixels(0.9, 1.0)
    times, pictures = [], set()
    for n, beta in enumerate(panel["imbalance"].BETAS):
        start = time.process_time()  # not the clock's: other tests run beside this one
        pictures.add(picture(plots.pixels(beta, 0.3 * n), alt=""))
        times.append(time.process_time() - start)
    assert len(pictures) == len(times)
    assert statistics.median(times) < 0.1


def test_a_panel_is_drawn_anew_without_an_output_widget(monkeypatch):
    """Voila executes the page by nbclient, which may wait for ever for a cell that makes an Output widget."""
    shown = []
    monkeypatch.setattr(ipywidgets, "Output", lambda *_, **__: pytest.fail("an Output widget"))
    monkeypatch.setattr("explore.page.show", lambda *parts: shown.append(parts))
    panel["imbalance"].loss(CLASSES, COUNTS)
    ((controls, drawn),) = shown
    before = drawn.value
    assert before.startswith('<img alt="Four plots')
    controls[0].value = 0.9
    assert drawn.value != before


def test_the_curves_are_those_of_the_formula():
    """-(1 - p)^γ log p, and its derivative by the true class's logit of two."""
    p, gamma = panel["imbalance"].PROBABILITIES, 2.0
    values, pull = panel["imbalance"].curve(gamma)
    np.testing.assert_allclose(values, -((1 - p) ** gamma) * np.log(p), rtol=1e-4, atol=1e-6)
    slope = (1 - p) ** gamma * (1 - p - gamma * p * np.log(p))
    np.testing.assert_allclose(pull, slope, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(panel["imbalance"].curve(0.0)[1], 1 - p, rtol=1e-3, atol=1e-4)
    ratio = losses.class_balanced_weights(COUNTS, 0.999)
    assert f"{ratio.max() / ratio.min():.4g} times" in panel["imbalance"].describe(COUNTS, 0.999, 1.0)


def test_no_words_of_a_figure_lie_on_others_or_on_its_points(sample):
    drawn, _ = panel["imbalance"].draw_tail(sample, "step", 0.5, 0)
    drawn.draw_without_rendering()
    names = [text.get_window_extent() for text in drawn.axes[1].texts]
    assert len(names) >= 10
    assert not [(a, b) for n, a in enumerate(names) for b in names[:n] if a.overlaps(b)]
    plots = panel["imbalance"].Plots(CLASSES, COUNTS)
    number, weight, *_ = plots.figure.axes
    for beta in panel["imbalance"].BETAS:
        plots.pixels(beta, 1.0)
        plots.figure.draw_without_rendering()
        for axes in (number, weight):
            points = axes.transData.transform(axes.lines[0].get_xydata())
            assert not axes.get_legend().get_window_extent().count_contains(points), beta


def test_a_batch_holds_what_is_said_of_it(sample):
    _, said = panel["imbalance"].draw_tail(sample, "step", 0.1, 0)
    kept = 5 * 128 + 5 * 12
    assert said.startswith(f"{kept} training images.")
    assert f"{32 * 128 / kept:.1f} images of airplane and {32 * 12 / kept:.1f} of dog" in said


def test_a_batch_of_equal_classes_is_described_as_that(sample):
    _, said = panel["imbalance"].draw_tail(sample, "exponential", 1.0, 0)
    expected = "holds on average 3.2 images of each class; 97 % of the batches hold at least one of a given class."
    assert said == f"{len(sample.train):,} training images. A batch of 32 {expected}"


@pytest.mark.parametrize("gamma", [0.0, 1.0, 5.0])
def test_the_gradient_stays_in_its_plot(gamma):
    *_, pull = panel["imbalance"].Plots(CLASSES, COUNTS).figure.axes
    assert panel["imbalance"].curve(gamma)[1].max() < pull.get_ylim()[1]


#: Names of the two settings that are trained here.
ONE = "1: TwoLayerNet CE, sample, exponential 0.05"
TWO = "2: TwoLayerNet CB-Focal β 0.9, sample, exponential 0.05, γ 1"


def test_picked_runs_are_grouped_by_setting_with_all_their_seeds(here):
    assert len(panel["runs"].table(everything())) == 4
    by_key = {r.key: r for r in here}
    first = panel["runs"].default_pick(by_key)
    assert [by_key[k].experiment.loss for k in first] == ["cross_entropy", "focal"]
    groups = panel["runs"].by_setting([by_key[k] for k in first], here)
    assert list(groups) == [ONE, TWO]
    assert [[r.experiment.seed for r in g] for g in groups.values()] == [[0, 1], [0, 1]]
    differences = panel["runs"].draw(groups, ONE).axes[2]
    drawn = next(line for line in differences.lines if line.get_marker() == "s").get_ydata()
    a, b = ([r.last.test.per_class for r in group] for group in groups.values())
    np.testing.assert_allclose(drawn, 100 * (np.mean(b, axis=0) - np.mean(a, axis=0)))


def test_numbers_keep_their_digits():
    from explore.page import number

    texts = ["4294967295", "1e-05", "0.01", "1", "True", "steps"]
    assert [number(value) for value in (4294967295, 1e-05, 0.01, 1.0, True, "steps")] == texts


def test_a_class_without_test_images_has_an_empty_row():
    matrix = panel["mistakes"].Matrix(("a", "b"))
    matrix.fill(np.array([[0, 0], [1, 3]]))
    assert [[cell[0] for cell in row] for row in matrix.cells] == [["0", "0"], ["25", "75"]]


def test_one_setting_has_no_difference_and_says_so(here):
    ce, balanced = here[:2], here[2:]
    for groups, said in (({"a": ce}, ["pick another setting to compare"]), ({"a": ce, "b": balanced}, [])):
        assert [text.get_text() for text in panel["runs"].draw(groups, "a").axes[2].texts] == said


def test_runs_on_other_images_are_drawn_but_not_subtracted(here, monkeypatch):
    moved = [r.model_copy(update={"experiment": r.experiment.replace(data="cifar10")}) for r in here[2:]]
    groups = panel["runs"].by_setting([here[0], moved[0]], [*here, *moved])
    one, two = groups
    assert (one, two) == (ONE, TWO.replace("sample", "cifar10"))
    drawn = panel["runs"].draw(groups, one)
    assert [len(axes.containers) for axes in drawn.axes[1:]] == [2 + 2, 0]  # bars and their intervals; no difference
    assert panel["runs"].apart(groups, one).startswith(f"{two} was tested on other images than {one}: ")
    assert panel["runs"].apart(dict.fromkeys("ab", here), "a") == ""


def test_settings_are_named_by_data_imbalance_and_what_else_differs(here):
    longer = [r.model_copy(update={"experiment": r.experiment.replace(epochs=7, factor=0.5)}) for r in here[:2]]
    small_rate = [r.model_copy(update={"experiment": r.experiment.replace(learning_rate=0.00001)}) for r in here[:2]]
    groups = panel["runs"].by_setting([here[0], longer[0], small_rate[0]], [*here, *longer, *small_rate])
    assert list(groups) == [
        "1: TwoLayerNet CE, sample, exponential 0.05, epochs 2, learning rate 0.01",
        "2: TwoLayerNet CE, sample, exponential 0.5, epochs 7, learning rate 0.01",
        "3: TwoLayerNet CE, sample, exponential 0.05, epochs 2, learning rate 1e-05",
    ]


def test_settings_with_other_methods_are_named_by_their_method_alone(here):
    base = small(epochs=10)
    late = {"beta": 0.9, "deferred": 6}
    changes = [{}, late, late | {"deferred": 3}, {"tau": 1.0, "deferred": 3}, {"sampling": "classes", "deferred": 3}]
    settings = [base.replace(**each) for each in [*changes, {"mixup": 1.0}, {"mixup": 0.4}]]
    settings.append(base.replace(sampling="classes", retrain=True, deferred=8))
    assert [
        name.partition(": TwoLayerNet ")[2].replace(", sample, all images", "")
        for name in panel["runs"].names(settings)
    ] == [
        "CE",
        "CE-DRW β 0.9, deferral (epochs) 6",
        "CE-DRW β 0.9, deferral (epochs) 3",
        "Balanced softmax (deferred)",
        "CE-DRS",
        "CE + mixup, mixup 1",
        "CE + mixup, mixup 0.4",
        "cRT",
    ]


def as_of(record, **changes):
    """The record as that of another experiment."""
    experiment = record.experiment.replace(**changes)
    return record.model_copy(update={"experiment": experiment, "key": experiment.key})


@pytest.mark.parametrize(
    "method",
    [
        {"tau": 1.0},
        {"sampling": "classes", "deferred": 1},
        {"mixup": 1.0},
        {"loss": "ldam", "beta": 0.9, "deferred": 1},
        {"sampling": "classes", "retrain": True, "deferred": 2, "epochs": 3},
    ],
)
def test_cross_entropy_and_a_method_are_picked_at_first_and_cross_entropy_is_blue(here, method):
    ce, other, strange = here[0], as_of(here[0], **method), as_of(here[0], learning_rate=0.5)
    records = {record.key: record for record in (other, ce, strange)}
    assert panel["runs"].default_pick(records) == [ce.key, other.key]
    shades = plots.colours([other.experiment, ce.experiment])
    assert shades[1] == plots.COLOUR["CE"] != shades[0]


def test_further_settings_in_which_runs_differ_are_columns_that_a_person_can_show(here, page):
    assert list(panel["runs"].table(everything()).columns)[-1] == "loss"  # nothing else differs
    changed = [{"beta": 0.9, "deferred": 1}, {"mixup": 0.4}, {"steps": [1], "decay": 0.01, "evaluate_every": 2}]
    for n, changes in enumerate(changed):
        everything().put(as_of(here[0], seed=n, **changes), {})
    frame = panel["runs"].table(everything())
    further = list(frame.columns[list(frame.columns).index("key") + 1 :])
    assert set(further) == {"loss", "deferral (epochs)", "mixup", "steps", "decay", "evaluate every"}
    assert set(frame["mixup"]) == {"0", "0.4"}
    assert set(frame["decay"]) == {"0.1", "0.01"}
    _, listed, *_ = page(panel["runs"].runs)
    (hidden,) = [each for each in listed._dt_args["columnDefs"] if each.get("visible") is False]
    assert [listed.df.columns[n] for n in hidden["targets"]] == further


def test_the_curves_are_saved_as_a_table(here):
    frame = panel["runs"].curves({"a": here[:2], "b": here[2:]})
    assert list(frame.columns[:4]) == ["setting", "seed", "key", "epoch"]
    assert len(frame) == 4 * 2
    last = frame[(frame.key == here[2].key) & (frame.epoch == 2)].iloc[0]
    assert (last.setting, last.test_accuracy) == ("b", here[2].last.test.accuracy)


def test_a_long_table_is_shown_whole_and_an_absent_beta_in_words(here, page, monkeypatch):
    frame = panel["runs"].table(everything())
    assert set(frame["β"]) == {"none", "0.9"}
    monkeypatch.setattr(panel["runs"], "table", lambda _: pd.concat([frame] * 600, ignore_index=True))
    _, listed, *_ = page(panel["runs"].runs)
    assert len(json.loads(listed._dt_args["data_json"])) == 2400


def test_the_picked_runs_stand_above_the_table_and_one_of_them_is_compared_with(here, page, monkeypatch):
    drawn = []
    monkeypatch.setattr(panel["runs"], "draw", lambda groups, first: drawn.append((*groups, first)) or plt.figure())
    chips, listed, base, _, figure, spoken = page(panel["runs"].runs)
    assert drawn[-1] == (ONE, TWO, ONE)
    assert [chip.description for chip in chips.children] == ["Clear", f"✕ {ONE}", f"✕ {TWO}"]
    assert listed.selected_rows == [0, 1]  # at the top
    assert set(listed.df["method"]) == {"CE", "CB-Focal"}  # the names of the legend
    base.value = base.options[1][1]
    assert drawn[-1] == (ONE, TWO, TWO)
    balanced, ce = sorted(listed.selected_rows, key=lambda row: listed.df["β"][row] == "none")
    listed.selected_rows = [balanced]
    listed.selected_rows = sorted([balanced, ce])
    one, two = TWO.replace("2:", "1:"), ONE.replace("1:", "2:")
    assert drawn[-1] == (one, two, one)  # in the order of the clicks, with the same base
    assert 'download="curves.csv"' in figure.value
    chips.children[1].click()  # removes the base
    assert drawn[-1] == (ONE, ONE)
    chips.children[0].click()
    assert [*listed.selected_rows, *chips.children] == []
    assert "Pick at least one run" in figure.value
    assert spoken.value == figure.value


def test_a_run_trained_on_the_page_is_there_to_be_compared(here, page, sample):
    (everything().path(here[0].experiment) / "best.safetensors").unlink()
    _, listed, *_ = page(panel["runs"].runs)
    chosen, matrix, said, spoken, _ = page(panel["mistakes"].mistakes, sample)
    chosen.value = here[0].key
    assert "weights of this run are not stored" in said.value
    assert spoken.value == said.value
    true = np.array(here[0].best.test.confusion)[0]
    assert [cell[0] for cell in matrix.cells[0]] == [f"{100 * n / true.sum():.0f}" for n in true]  # without weights
    picked = list(listed.df["key"].iloc[listed.selected_rows])
    for experiment in (small(seed=5), small(seed=6)):
        trainer = panel["tryout"].Trainer(lambda experiment=experiment: experiment)
        trainer.start.click()
        trainer.thread.join()
    assert listed.df["key"][len(picked)] == small(seed=6).key  # below the picked ones
    assert sorted(listed.df["key"].iloc[listed.selected_rows]) == sorted(picked)
    assert chosen.value == here[0].key
    assert small(seed=6).key in [key for _, key in chosen.options]


def test_numbers_on_every_shade_of_the_confusion_matrix_can_be_read():
    """A contrast of 4.5, which WCAG 2 asks of text."""
    matrix = panel["mistakes"].Matrix(CLASSES)

    def light(colour):
        rgb = np.array(mpl.colors.to_rgb(colour))
        linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
        return linear @ [0.2126, 0.7152, 0.0722]

    for share in range(0, 101, 4):
        matrix.fill(np.array([[share, 100 - share] + 8 * [0]] * 10))
        for text, title, *colours in matrix.cells[0][:2]:
            low, high = sorted(map(light, colours))
            assert (high + 0.05) / (low + 0.05) > 4.5, text
            assert title.startswith("airplane predicted as ")


def test_the_images_of_a_cell_say_how_probable_the_true_class_was(here, sample):
    record = here[0]
    true, answer = panel["mistakes"].most_frequent(record)
    drawn, _ = panel["mistakes"].draw(record, sample, true, answer)
    inside = panel["mistakes"].cell(record, sample, true, answer)[: panel["mistakes"].MOST]
    given = 100 * panel["mistakes"].probabilities(record.experiment, sample)[inside, true].numpy()
    titles = [axes.get_title().splitlines() for axes in drawn.axes][: len(given)]
    for title, p in zip(titles, given, strict=True):
        assert len(title) == 3
        assert f"{CLASSES[true]} {p:.0f} %" in title
    few = next(k for k in range(10) if 1 < len(panel["mistakes"].cell(record, sample, k, answer)) < 12)
    assert "most confident first" in panel["mistakes"].draw(record, sample, few, answer)[1]


def test_weights_of_bfloat16_are_not_looked_at_in_an_emulation(here, sample, monkeypatch):
    experiment = here[0].experiment.replace(precision="bfloat16")
    monkeypatch.setattr(panel["mistakes"], "everything", lambda: SimpleNamespace(tensors=lambda *_: weights))
    weights, used = everything().tensors(here[0].experiment, "best"), []
    looks = panel["mistakes"].predict
    monkeypatch.setattr(panel["mistakes"], "predict", lambda m, i, p, d: used.append(p) or looks(m, i, "float32", d))
    for there in (False, True):
        monkeypatch.setattr(panel["mistakes"], "has_bfloat16", lambda _, there=there: there)
        panel["mistakes"].probabilities.__wrapped__(experiment, sample)
    assert used == ["float32", "bfloat16"]


def test_damaged_weights_are_one_sentence(here, page, sample):
    (everything().path(here[0].experiment) / "best.safetensors").write_bytes(b"nothing")
    panel["mistakes"].probabilities.cache_clear()
    chosen, _, shown, _, _ = page(panel["mistakes"].mistakes, sample)
    chosen.value = here[0].key
    assert "is damaged" in shown.value
    assert "train it again" in shown.value


def test_the_cells_of_the_confusion_matrix_hold_the_records_counts(here, sample):
    record = here[0]
    confusion = np.array(record.best.test.confusion)
    for true in range(10):
        for answer in range(10):
            assert len(panel["mistakes"].cell(record, sample, true, answer)) == confusion[true, answer]
    true, answer = panel["mistakes"].most_frequent(record)
    inside = panel["mistakes"].cell(record, sample, true, answer)
    given = panel["mistakes"].probabilities(record.experiment, sample)[inside, answer]
    assert (given[:-1] >= given[1:]).all()
    assert (sample.test.labels[inside] == true).all()


def test_the_panels_show_as_many_classes_as_the_data_set_has(here, sample, monkeypatch):
    names = ("red", "green", "blue")
    parts = [
        ImageSet(part.images[part.labels < 3], part.labels[part.labels < 3]) for part in (sample.train, sample.test)
    ]
    three = replace(sample, train=parts[0], test=parts[1], classes=names)
    assert len(panel["imbalance"].draw_tail(three, "step", 0.5, 0)[0].axes[0].patches) == 3
    labels = panel["imbalance"].Plots(names, [9, 3, 1]).figure.axes[0].get_xticklabels()
    assert [label.get_text() for label in labels] == list(names)
    assert panel["mistakes"].Matrix(names).classes == list(names)

    weights = models.build("TwoLayerNet", 0, 3).state_dict()
    monkeypatch.setattr(panel["mistakes"], "everything", lambda: SimpleNamespace(tensors=lambda *_: weights))
    given = panel["mistakes"].probabilities(here[0].experiment, three)
    assert given.shape == (len(parts[1]), 3)
    true, predicted = int(parts[1].labels[0]), int(given[0].argmax())
    _, said = panel["mistakes"].draw(here[0], three, true, predicted)
    assert said.startswith(f"{names[true]} predicted as {names[predicted]}: ")

    monkeypatch.setattr(data, "classes", lambda _: names)
    test = here[0].last.test.model_copy(update={"confusion": np.eye(3).tolist()})
    record = here[0].model_copy(update={"history": [here[0].last.model_copy(update={"test": test})]})
    levels = panel["runs"].draw({"a": [record]}, "a").axes[1]
    assert [label.get_text() for label in levels.get_xticklabels()] == list(names)


def form(**changes):
    values = panel["tryout"].defaults("sample") | {"model": "TwoLayerNet", "epochs": 1, "factor": 0.1}
    return values | changes


def test_the_form_offers_every_model_and_loss_and_numbers_for_the_rest(here, page):
    form, *_ = page(panel["tryout"].tryout, "sample")
    fields = {widget.description: widget for widget in form}
    assert list(fields["model"].options) == list(MODELS)
    assert list(fields["loss"].options) == list(losses.LOSSES)
    assert list(fields["method"].options) == [panel["tryout"].OWN, *TRAINED]
    assert (fields["data"].value, fields["β"].value) == ("sample", 0.99)
    numbers = {name for name, widget in fields.items() if isinstance(widget.value, int | float)}
    assert set(fields) - numbers == {"model", "data", "imbalance", "method", "loss"}


#: Fields of the form that not every method has, by method.
USED = {
    "own loss, β and γ": {"loss", "β", "γ"},
    "CE": set(),
    "CB-Focal (sigmoid)": {"β"},
    "LDAM-DRW": {"β", "deferral (epochs)"},
    "Balanced softmax (deferred)": {"deferral (epochs)"},
    "CE + mixup": set(),
    "cRT": {"retrain (epochs)"},
}


def test_the_form_shows_the_fields_that_the_chosen_method_uses(here, page):
    form, *_ = page(panel["tryout"].tryout, "sample")
    fields = {widget.description: widget for widget in form}
    for method, used in [*USED.items(), next(iter(USED.items()))]:
        if method != fields["method"].value:
            fields["method"].value = method
        shown = {name for name, widget in fields.items() if widget.layout.display != "none"}
        assert shown & set.union(*USED.values()) == used, method
        assert {"model", "data", "method", "epochs", "seed"} <= shown


def test_first_values_follow_method_and_epochs_until_a_person_types_others(here, page):
    form, *_ = page(panel["tryout"].tryout, "sample")
    fields = {widget.description: widget for widget in form}
    epochs, beta, deferral, retraining = (
        fields[name] for name in ("epochs", "β", "deferral (epochs)", "retrain (epochs)")
    )
    assert (epochs.value, beta.value) == (8, 0.99)
    fields["method"].value = "LDAM-DRW"
    assert (beta.value, deferral.value, retraining.value) == (0.9999, 6, 2)
    epochs.value = 200
    assert (deferral.value, retraining.value) == (150, 50)
    epochs.value = 1
    assert (deferral.value, retraining.value) == (0, 1)
    epochs.value = 20
    beta.value, deferral.value = 0.9, 3
    epochs.value = 40
    fields["method"].value = panel["tryout"].OWN
    assert (beta.value, deferral.value, retraining.value) == (0.9, 3, 10)


def of(method, **changes):
    """The form with a method, and all else as it is proposed."""
    values = form(method=method, **{"epochs": 4} | changes)
    return values | panel["tryout"].first_values(values) | changes


@pytest.mark.parametrize("method", TRAINED)
def test_a_method_of_the_form_is_that_of_the_methods_notebook(here, method):
    asked = panel["tryout"].experiment(of(method, seed=3))
    file, command, _ = panel["tryout"].save(of(method, seed=3), "mine")
    assert file.name == "methods.yaml"
    assert f"notebooks/methods.ipynb outputs/mine/methods.ipynb -f {shlex.quote(str(file))}" in command.replace("'", "")
    values = parameters.read(file, paths.NOTEBOOKS / "methods.ipynb")
    trained = plans.methods(session.Notebook(headless=True, origin="", values=values))
    assert list(trained) == list(dict.fromkeys(["CE", method]))
    assert trained[method].key == asked.key
    assert (values["seed"], values["repeats"], values["validation"]) == (3, 1, 0)  # no further run


def test_a_saved_method_is_a_profile_of_a_report(here):
    shutil.copytree(paths.ROOT / "params" / "field", paths.PARAMS / "field")
    panel["tryout"].save(of("LDAM-DRW"), "mine")
    assert [*parameters.Plan.of("mine").values] == ["methods"]
    panel["tryout"].save(form(), "mine")
    assert parameters.chapters("mine") == ["beta_sweep", "methods"]


def test_a_field_that_is_not_shown_has_no_say(here):
    for method, own in USED.items():
        one = panel["tryout"].experiment(of(method))
        other = {"beta": 2.0, "gamma": -1.0, "loss": "none", "deferred": 99, "retrain_epochs": 0}
        hidden = {name: value for name, value in other.items() if panel_label(name) not in own}
        assert panel["tryout"].experiment(of(method, **hidden)) == one, method


def panel_label(name):
    return sys.modules["explore.page"].label(name)


@pytest.mark.parametrize("method", ["own loss, β and γ", "cRT"])
def test_a_saved_file_makes_papermill_train_the_run_of_the_form(here, tmp_path, monkeypatch, method):
    monkeypatch.setattr(paths, "PARAMS", tmp_path / "of a person")
    monkeypatch.setattr(paths, "OUTPUTS", tmp_path / "out puts")
    chosen = of(method, beta=0.9, seed=3, epochs=2)
    file, command, _ = panel["tryout"].save(chosen, "mine")
    asked = panel["tryout"].experiment(chosen)
    if method == panel["tryout"].OWN:
        assert parameters.read(file, paths.NOTEBOOKS / "beta_sweep.ipynb")["betas"] == [0.9]
    assert f"-f {shlex.quote(str(file))}" in command
    result = run("sh", "-ec", command, outputs=tmp_path / "outputs", WRITEUP_PARAMS=str(paths.PARAMS))
    assert result.returncode == 0, result.stderr
    assert (paths.OUTPUTS / "mine" / file.with_suffix(".ipynb").name).exists()
    assert (tmp_path / "outputs" / "runs" / asked.key / "record.json").exists()
    assert len([*(tmp_path / "outputs" / "runs").glob("*/record.json")]) == 2  # and cross-entropy


@pytest.mark.parametrize(
    ("change", "name", "said"),
    [
        ({"beta": 1.5}, "mine", "less than or equal to 1, not 1.5"),
        ({"beta": 1.5}, "mine", "β: Input"),
        ({"loss": "focall"}, "mine", "loss: Input should be"),
        ({"epochs": 0}, "mine", "epochs: Input"),
        ({"factor": None}, "mine", "imbalance factor has to be a number"),
        ({"method": "CE-DRW", "epochs": 4}, "mine", "deferral (epochs) has to be less than the 4 epochs, not 6"),
        ({"method": "CE-DRW", "beta": 1.5}, "mine", "β: Input"),
        ({"method": "cRT", "retrain_epochs": 0}, "mine", "retrain (epochs) has to lie between 1 and"),
        ({}, "quick", "quick is a name used by the repository"),
        ({}, "Published", "Published is a name used by the repository"),
        ({}, 300 * "x", "cannot be written: File name too long"),
        ({}, "../mine", "A name has letters, digits, - and _ only"),
    ],
)
def test_nonsense_in_the_form_is_one_sentence_and_saves_nothing(here, change, name, said):
    with pytest.raises(UserError) as error:
        panel["tryout"].save(form(**change), name)
    assert said in str(error.value)
    assert "\n" not in str(error.value)
    assert not list(paths.PARAMS.iterdir())


def test_a_person_is_told_of_a_file_that_is_replaced_and_their_own_is_not_touched(here):
    file, _, replaced = panel["tryout"].save(form(), "mine")
    assert not replaced
    assert panel["tryout"].save(form(seed=4), "mine")[2]
    assert parameters.read(file, paths.NOTEBOOKS / "beta_sweep.ipynb")["seed"] == 4
    file.write_text("betas: [0.5]  # by hand\n")
    with pytest.raises(UserError, match=r"was not saved from this form; choose another name"):
        panel["tryout"].save(form(), "mine")
    assert file.read_text() == "betas: [0.5]  # by hand\n"


def outward(path):
    """A link out of params/ to a file that was saved from the form."""
    elsewhere = paths.PARAMS.parent / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / path.name).write_text(panel["tryout"]._MARK)
    path.symlink_to(elsewhere / path.name)


SPECIAL = {
    "link to a file": outward,
    "link to nowhere": lambda path: path.symlink_to(paths.PARAMS.parent / "nowhere"),
    "link to itself": lambda path: path.symlink_to(path),
    "device": lambda path: path.symlink_to("/dev/full"),
    "fifo": os.mkfifo,
    "folder": lambda path: path.mkdir(),
    "hole of a terabyte": lambda path: [path.touch(), os.truncate(path, 1 << 40)],
    "no text": lambda path: path.write_bytes(b"\xff"),
}


@pytest.mark.timeout(60)  # a fifo would be waited for
@pytest.mark.parametrize("kind", SPECIAL)
def test_nothing_is_saved_through_a_link_nor_over_a_special_file(here, kind):
    folder = paths.PARAMS / "mine"
    folder.mkdir()
    file = folder / "beta_sweep.yaml"
    SPECIAL[kind](file)
    before = file.lstat()
    with pytest.raises(UserError, match=r"beta_sweep\.yaml (was not saved from this form|cannot be written)") as error:
        panel["tryout"].save(form(), "mine")
    assert "\n" not in str(error.value)
    assert (file.lstat().st_ino, file.lstat().st_size) == (before.st_ino, before.st_size)
    assert not (paths.PARAMS.parent / "nowhere").exists()
    if kind == "link to a file":
        assert file.read_text() == panel["tryout"]._MARK


@pytest.mark.parametrize("kind", ["link to a folder", *sorted(set(SPECIAL) - {"folder", "hole of a terabyte"})])
def test_nothing_is_saved_where_the_folder_is_a_link_or_a_special_file(here, kind):
    (outside := paths.PARAMS.parent / "outside").mkdir()
    (SPECIAL | {"link to a folder": lambda path: path.symlink_to(outside)})[kind](paths.PARAMS / "mine")
    with pytest.raises(UserError, match=r"was not saved from this form|cannot be written") as error:
        panel["tryout"].save(form(), "mine")
    assert "\n" not in str(error.value)
    assert not list(outside.iterdir())


def test_two_quick_clicks_train_once(here, monkeypatch):
    begun, go = [], threading.Event()
    monkeypatch.setattr(sweep, "run", lambda *_, **__: [begun.append(1), go.wait(20)] and [here[0]])
    clicked = panel["tryout"].Trainer(small)
    clicked.start.click()
    clicked.start.click()
    go.set()
    clicked.thread.join()
    assert begun == [1]
    clicked.start.click()
    clicked.thread.join()
    assert begun == [1, 1]


def test_a_run_that_cannot_be_trained_says_why_and_no_more(here):
    trainer = panel["tryout"].Trainer(lambda: panel["tryout"].experiment(form(factor=1e-9)))
    trainer.start.click()
    trainer.thread.join()
    assert "choose a factor of at least" in trainer.status.value
    assert "runs failed" not in trainer.status.value
    assert not trainer.start.disabled


def test_training_beside_the_page_can_be_stopped_and_goes_on(here):
    experiment = Experiment.make(data="sample", model="TwoLayerNet", epochs=40, seed=9)
    trainer = panel["tryout"].Trainer(lambda: experiment)
    trainer.start.click()
    while not (said := re.search(r"epoch (\d+)/", trainer.status.value)) or int(said[1]) < 2:
        time.sleep(0.01)
    trainer.stop.click()
    trainer.thread.join()
    assert "of 40 epochs. Train continues from there." in trainer.status.value
    assert everything().get(experiment) is None
    assert 'aria-label="Line plots' in trainer.figure.value
    trainer.start.click()
    trainer.thread.join()
    assert "Done:" in trainer.status.value
    assert len(everything().get(experiment).history) == 40


def test_stop_does_not_wait_for_the_end_of_an_epoch(here):
    long = Experiment.make(data="sample", model="ResNet-32", epochs=2, batch_size=1)  # 1,600 steps of an epoch
    trainer = panel["tryout"].Trainer(lambda: long)
    trainer.start.click()
    time.sleep(2)
    assert re.search(r"epoch 1/2 · \d+%", trainer.status.value)  # no epoch is over
    start = time.monotonic()
    trainer.stop.click()
    trainer.thread.join()
    assert time.monotonic() - start < 5
    assert "Stopped after 0 of 2 epochs." in trainer.status.value
    assert not trainer.start.disabled
    trainer.stop.click()  # nothing to stop any more
    assert "Stopped after 0 of 2 epochs." in trainer.status.value


def test_widgets_redraw_when_a_control_moves(page, sample):
    for show, arguments, name, value in (
        (panel["imbalance"].longtail, [sample], "imbalance factor", 0.1),
        (panel["imbalance"].loss, [CLASSES, COUNTS], "γ", 2),
    ):
        controls, drawn = page(show, *arguments)
        before = drawn.value
        next(control for control in controls if control.description == name).value = value
        assert drawn.value.startswith("<img alt=")
        assert drawn.value != before


def test_errors_of_a_person_are_one_sentence_in_a_notebook():
    """No traceback of forty lines: IPython shows what `_render_traceback_` gives."""
    code = "from lib.experiment import Experiment; Experiment.make(model='ConvNet', epochs=1, beta=1.5)"
    shell = f"from IPython.core.interactiveshell import InteractiveShell as S; S.instance().run_cell({code!r})"
    said = subprocess.run([sys.executable, "-c", shell], capture_output=True, text=True, cwd=paths.ROOT)
    assert said.stdout.strip() == "beta: Input should be less than or equal to 1, not 1.5."


def made(target, *settings):
    """The last command of a target of the Makefile, for the environment of these tests."""
    ask = [
        "make",
        "--no-print-directory",
        "--dry-run",
        "--old-file=.venv/ready",
        f"BIN={shlex.quote(str(Path(sys.executable).parent))}",
        target,
        *settings,
    ]
    said = subprocess.run(ask, cwd=paths.ROOT, capture_output=True, text=True, check=True).stdout
    return shlex.split(said.replace("\\\n", " ").splitlines()[-1])


def reached(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@contextmanager
def started(command, folder, **more):
    """A server of its own on a free port: the port, and the URL that it prints."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    settings = {"JUPYTER_CONFIG_DIR": "config", "JUPYTER_RUNTIME_DIR": "runtime", "IPYTHONDIR": "ipython"}
    environment = os.environ | {name: str(folder / value) for name, value in settings.items()} | more
    with (folder / "log").open("w") as log:
        arguments = {"cwd": paths.ROOT, "env": environment, "stdout": log, "stderr": log}
        process = subprocess.Popen([*command, f"--port={port}"], **arguments)
    try:
        # The port that it took, should the free one be taken by now.
        while not (url := re.search(r"http://[\w.-]+:(\d+)/\S*\n", said := (folder / "log").read_text())) or not (
            reached(port := int(url[1]))
        ):
            assert process.poll() is None, said
            time.sleep(0.05)
        yield port, url[0].strip()
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=30)


def ask(port, path, method="GET", host=None, body=None, socket_of=None, **headers):
    """The answer's status, headers and text; asked for a WebSocket, with this Origin, if `socket_of` is given."""
    if socket_of is not None:
        headers |= {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13"}
        headers |= {"Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==", "Origin": socket_of}
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request(method, path, body, {"Host": host or f"localhost:{port}", **headers})
        answer = connection.getresponse()
        text = "" if answer.status == 101 else answer.read().decode()
        return SimpleNamespace(status=answer.status, headers=answer.headers, text=text)
    finally:
        connection.close()


@pytest.fixture(scope="module")
def app(tmp_path_factory):
    """`make app` with a short notebook, opened in a browser by its owner."""
    folder = tmp_path_factory.mktemp("app")
    kernel = {"name": "python3", "display_name": "Python 3 (ipykernel)", "language": "python"}
    cells = [nbformat.v4.new_code_cell("print('the cell has run')")]
    (folder / "notebooks").mkdir()
    nbformat.write(
        nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel}), folder / "notebooks/short.ipynb"
    )
    (folder / "notebooks" / "picture.png").write_bytes(b"a picture")
    command = made("app")
    assert command[-1] == "notebooks/explore.ipynb"
    with started([*command[:-1], str(folder / "notebooks/short.ipynb"), "--no-browser"], folder) as (port, url):
        page = ask(port, url.partition(str(port))[2])
        assert page.status == 200
        cookies = [cookie.partition(";")[0] for cookie in page.headers.get_all("Set-Cookie")]
        (kernel,) = set(re.findall(r'"kernelId": ?"([\w-]+)"', page.text))
        known = {"token": url.partition("token=")[2], "kernel": kernel, "cookie": "; ".join(cookies)}
        yield SimpleNamespace(port=port, url=url, page=page.text, **known)


KEEPS_BUSY = """
import threading, time
import ipywidgets
shown = ipywidgets.HTML()
def train():
    while True:
        shown.value = str(time.monotonic())
        time.sleep(0.05)
threading.Thread(target=train, daemon=True).start()
shown
"""


def test_a_kernel_without_a_page_ends_also_while_it_trains(tmp_path):
    """A visitor's page that is gone without a word: no shutdown call, no connection, and a thread that goes on."""
    kernel = {"name": "python3", "display_name": "Python 3 (ipykernel)", "language": "python"}
    cells = [nbformat.v4.new_code_cell(KEEPS_BUSY)]
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel}), tmp_path / "busy.ipynb")
    command = [*made("app")[:-1], str(tmp_path / "busy.ipynb"), "--no-browser"]
    command += ["--Kernels.load_timeout=2", "--Kernels.cull_interval=1"]
    with started(command, tmp_path) as (port, url):
        page = ask(port, url.partition(str(port))[2])
        (left,) = set(re.findall(r'"kernelId": ?"([\w-]+)"', page.text))
        token, end = url.partition("token=")[2], time.monotonic() + 60
        kernel = json.loads(ask(port, f"/api/kernels/{left}?token={token}").text)
        assert kernel["connections"] == 0
        while ask(port, f"/api/kernels/{left}?token={token}").status == 200:
            assert time.monotonic() < end, "the kernel outlives its page"
            time.sleep(0.1)
        again = ask(port, url.partition(str(port))[2])  # what was made ahead for the next visitor has stayed
        assert again.status == 200
        assert left not in again.text


def test_a_kernel_waits_longer_for_a_page_that_loads_than_for_one_that_is_gone(monkeypatch):
    from explore import app

    kernel, ended, now = SimpleNamespace(), [], 0

    class Kernels(app.Kernels):
        def __init__(self):
            self.model = {"connections": 0, "execution_state": "busy"}

        def kernel_model(self, kernel_id):
            return self.model

        def get_kernel(self, kernel_id):
            return kernel

        async def shutdown_kernel(self, kernel_id):
            ended.append(now)

    kernels = Kernels()
    monkeypatch.setattr(app.time, "monotonic", lambda: now)

    def look(*times, **state):
        nonlocal now
        kernels.model |= state
        for moment in times:
            now = moment
            asyncio.run(kernels.cull_kernel_if_idle("k"))

    look(0, 100)
    look(300, 695, execution_state="idle")  # made, and its page is still loading
    assert not ended
    look(705)
    assert ended == [705]
    look(800, connections=1)
    look(855, connections=0)
    assert ended == [705]
    look(865)
    assert ended == [705, 865]


def test_visitors_of_the_page_save_nothing_in_this_repository(here, page, monkeypatch):
    monkeypatch.setenv("WRITEUP_APP", "1")
    *_, (_, button), status = page(panel["tryout"].tryout, "sample")
    button.click()
    link = re.search(r'download="beta_sweep.yaml" href="data:text/plain;base64,([^"]+)"', status.value)
    offered = base64.b64decode(link[1]).decode()
    assert not list(paths.PARAMS.iterdir())
    monkeypatch.delenv("WRITEUP_APP")
    button.click()
    assert (paths.PARAMS / "mine" / "beta_sweep.yaml").read_text() == offered
    assert "WRITEUP_APP" in (paths.ROOT / "explore" / "app.py").read_text()


def test_other_machines_are_answered_only_where_a_host_is_given(tmp_path):
    kernel = {"name": "python3", "display_name": "Python 3 (ipykernel)", "language": "python"}
    nbformat.write(nbformat.v4.new_notebook(metadata={"kernelspec": kernel}), tmp_path / "empty.ipynb")
    command = made("app", "HOST=0.0.0.0", "PORT=8866")
    assert "--port=8866" in command
    command = [word for word in command if not word.startswith("--port")]
    with started([*command[:-1], str(tmp_path / "empty.ipynb"), "--no-browser"], tmp_path) as (port, url):
        said = (tmp_path / "log").read_text()
        assert "it is not encrypted. Use it in a network that you trust." in said.replace("\n", " ")
        path = url.partition(str(port))[2]
        assert ask(port, path, host=f"teacher.example:{port}").status == 200
        assert ask(port, "/", host=f"teacher.example:{port}").status == 302  # to the login


#: Every kind of route, with a status for its owner; {} is the kernel's name.
ROUTES = {
    ("GET", "/"): 200,
    ("GET", "/login"): 302,
    ("GET", "/voila/static/voila.js"): 200,
    ("GET", "/voila/templates/lab/static/index.css"): 200,
    ("GET", "/voila/files/picture.png"): 200,
    ("GET", "/voila/labextensions/@voila-dashboards/widgets-manager8/package.json"): 200,
    ("GET", "/voila/api/themes/@jupyterlab/theme-light-extension/index.css"): 200,
    ("GET", "/api/kernels/{}"): 200,
    ("WEBSOCKET", "/api/kernels/{}/channels"): 101,
    ("POST", "/voila/api/shutdown/{}"): 204,
}
#: A route of Voila's that asks for no token, and tells what the last request asked for, with its token.
LEFT_OUT = "/voila/query/{}"
FOREIGN = [
    "evil.example",
    "localhost.evil.example",
    "127.0.0.1.evil.example",
    "10.0.0.1",
    "[::2]",
    "evil.example:80@localhost",
]


def route(app, method, path, name, **more):
    """Ask as the owner's browser does, with the cookies that it was given; the server is called by this name."""
    host = f"{name}:{app.port}"
    more = {
        "host": host,
        "Cookie": app.cookie,
        "socket_of": f"http://{host}" if method == "WEBSOCKET" else None,
        **more,
    }
    if method == "POST":
        more |= {"body": "_xsrf=" + re.search(r"_xsrf=([^;]*)", app.cookie)[1]}
        more |= {"Content-Type": "application/x-www-form-urlencoded"}
    return ask(app.port, path.format(app.kernel), "GET" if method == "WEBSOCKET" else method, **more).status


def test_the_page_runs_its_notebook_for_whoever_has_the_printed_url(app):
    assert re.fullmatch(rf"http://localhost:{app.port}/\?token=[0-9a-f]{{48}}", app.url)
    assert "the cell has run" in app.page


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_a_page_that_points_its_own_name_at_this_machine_gets_nothing(app, method, path):
    """DNS rebinding: its requests have its name as Host, and are of the same origin. Not even the token helps it."""
    for name in FOREIGN:
        assert route(app, method, path, name) in (400, 403, 404), name
        assert route(app, method, f"{path}?token={app.token}", name) in (400, 403, 404), name
    assert route(app, "GET", "/api/kernels/{}", "localhost") == 200  # nobody has stopped it


@pytest.mark.parametrize(("method", "path"), [key for key in ROUTES if key[0] != "POST"])
def test_the_owner_is_answered_by_every_name_of_this_machine(app, method, path):
    tunnel = {"host": "localhost:1", "socket_of": "http://localhost:1" if method == "WEBSOCKET" else None}
    for name, more in {"127.0.0.1": {}, "[::1]": {}, "LOCALHOST": {}, "localhost": tunnel}.items():
        if path != "/" or more:  # which starts a kernel
            assert route(app, method, f"{path}?token={app.token}", name, Cookie="", **more) == ROUTES[method, path], (
                name
            )


def test_nobody_is_told_what_others_asked_for(app):
    for query in ("", f"?token={app.token}"):
        assert route(app, "WEBSOCKET", LEFT_OUT + query, "localhost", Cookie="") in (302, 403, 404)
        assert route(app, "WEBSOCKET", LEFT_OUT + query, "localhost") != 101


def test_a_page_talks_to_widgets_and_runs_no_code(app, tmp_path):
    written = tmp_path / "written"

    async def talk():
        address = f"ws://localhost:{app.port}/api/kernels/{app.kernel}/channels?token={app.token}"
        connection = await tornado.websocket.websocket_connect(address)
        code = {"code": f"open({str(written)!r}, 'w')", "silent": False}
        for kind, content in (("execute_request", code), ("comm_info_request", {}), ("shutdown_request", {})):
            header = {"msg_id": kind, "msg_type": kind, "session": "s", "username": "u", "version": "5.3"}
            message = {"channel": "shell", "header": header, "parent_header": {}, "metadata": {}, "content": content}
            await connection.write_message(json.dumps(message))
        while json.loads(await connection.read_message())["msg_type"] != "comm_info_reply":
            pass
        connection.close()

    asyncio.run(asyncio.wait_for(talk(), 60))
    assert not written.exists()
    assert route(app, "GET", "/api/kernels/{}", "localhost") == 200


def test_other_users_of_this_machine_get_neither_page_nor_kernel(app):
    for cookie in ("", "username-localhost=made-up"):
        page = ask(app.port, "/", Cookie=cookie)
        assert (page.status, page.headers["Location"][:6]) == (302, "/login")
        assert route(app, "GET", "/api/kernels/{}", "localhost", Cookie=cookie) == 403
        assert route(app, "WEBSOCKET", "/api/kernels/{}/channels", "localhost", Cookie=cookie) == 403
        assert route(app, "POST", "/voila/api/shutdown/{}", "localhost", Cookie=cookie) == 403


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "http://localhost:1", "https://127.0.0.1", "null", "file://"]
)
def test_a_page_of_another_origin_cannot_open_the_kernels_channels(app, origin):
    """A browser adds the owner's cookies to its request."""
    assert route(app, "WEBSOCKET", "/api/kernels/{}/channels", "localhost", socket_of=origin) == 403


def test_a_kernel_is_stopped_by_its_own_page_alone(app):
    """A form of another page would be sent with the owner's cookies, but without the value of one of them."""
    stop = f"/voila/api/shutdown/{app.kernel}"
    form = {"Content-Type": "application/x-www-form-urlencoded", "Cookie": app.cookie}
    assert ask(app.port, stop, "POST", body="", **form).status == 403
    assert ask(app.port, stop, "POST", body="_xsrf=made-up", **form).status == 403
    assert route(app, "POST", stop, "localhost", Origin="http://evil.example") in (403, 404)
    assert route(app, "GET", "/api/kernels/{}", "localhost") == 200
    assert route(app, "POST", stop, "localhost") == 204
    assert route(app, "GET", "/api/kernels/{}", "localhost") == 404


def test_the_browser_is_opened_with_the_token_but_not_on_a_command_line(app, tmp_path):
    """The page that a browser is given leads to the page with the token."""
    browser, seen = tmp_path / "browser", tmp_path / "seen"
    browser.write_text(f'#!/bin/sh\necho "$1" > "{seen}.part"; mv "{seen}.part" "{seen}"\n')
    browser.chmod(0o755)
    with started(made("app"), tmp_path, BROWSER=str(browser), TMPDIR=str(tmp_path)) as (port, url):
        while not seen.exists():
            time.sleep(0.05)
    file = Path(seen.read_text().strip().removeprefix("file://"))
    assert (file.stat().st_mode & 0o077) == 0
    assert f"url={url}" in file.read_text()
    assert f":{port}/?token=" in url


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_jupyterlab_as_root_is_refused_in_one_sentence():
    said = subprocess.run(["make", "--old-file=.venv/ready", "lab"], cwd=paths.ROOT, capture_output=True, text=True)
    assert said.returncode == 2
    first, *rest = said.stderr.splitlines()
    assert "make lab ROOT=1" in first
    assert len(rest) == 1  # make's own


def test_the_environment_opens_nothing():
    """HOST is the name of a target platform for some compilers, and of the machine for some shells."""
    names = {"HOST": "0.0.0.0", "PORT": "1", "ROOT": "1"}
    for target in ("app", "lab"):
        command = ["make", "--dry-run", "--old-file=.venv/ready", target]
        plain, named = (
            subprocess.run(command, cwd=paths.ROOT, env=os.environ | more, capture_output=True, text=True, check=True)
            for more in ({}, names)
        )
        assert named.stdout == plain.stdout
        assert "--allow-root" not in plain.stdout


def test_jupyterlab_refuses_other_names_and_whoever_has_no_token(tmp_path):
    """Its own defaults; `make lab` must not loosen them."""
    with started([*made("lab", *["ROOT=1"] * (os.geteuid() == 0)), "--no-browser"], tmp_path) as (port, url):
        token = url.partition("token=")[2]
        assert url.partition("?")[0] == f"http://localhost:{port}/lab/tree/notebooks/index.ipynb"
        for path in ("", "/lib/losses.py", "/params/quick/convnet.yaml", "/outputs/published"):
            assert ask(port, f"/api/contents{path}?content=0&token={token}").status == 200
        assert ask(port, "/api/contents").status == 403
        for path in ("/lab", "/api", f"/api/contents?token={token}", f"/static/favicons/favicon.ico?token={token}"):
            assert ask(port, path, host=f"evil.example:{port}").status in (403, 404), path
