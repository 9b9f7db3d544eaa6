"""Text and panels of the figures, for data sets with any classes."""

import math

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from conftest import small
from test_findings import diagonal, record

from lib.analysis import curves, plots
from longtail_writeup import drawings

CLASSES = ("ant", "bee", "cat")


def titles(figure):
    plt.close(figure)
    return [axes.get_title() for axes in figure.axes if axes.get_title()]


def test_the_confusion_matrix_carries_the_names_of_its_classes():
    figure = plots.confusion(np.eye(3), CLASSES)
    labels = [label.get_text() for label in figure.axes[0].get_xticklabels()]
    plt.close(figure)
    assert labels == list(CLASSES)


def test_a_panel_for_every_class_of_a_sweep():
    rows = {"0 … 0.5": np.full((2, 3), 0.5), "0.9": np.full((5, 3), 0.5)}
    figure = plots.sweep_curves(rows, {"0 … 0.5": np.full((4, 3), 0.4), "0.9": np.empty((0, 3))}, CLASSES)
    assert titles(figure) == list(CLASSES)
    marks = figure.axes[0].get_lines()[-1]
    assert list(marks.get_xdata()) == [0, 0, 0, 0]  # every row of the original


def test_the_closing_table_has_a_panel_for_every_candidate():
    rows = {
        "rate 0.1, batch 2": {"CE": np.full((2, 3), 0.5), "CB-Focal": []},
        "rate 1, batch 2": {"CE": [], "CB-Focal": []},
    }
    figure = drawings.closing_rows(rows, {"CE": [0.1] * 3, "CB-Focal": [0.2] * 3}, CLASSES)
    assert titles(figure) == [*rows]
    many = drawings.closing_rows(
        {f"rate 0.{n}, batch 2": {"CE": [], "CB-Focal": []} for n in range(5)},
        {"CE": [0.1] * 3, "CB-Focal": [0.2] * 3},
        CLASSES,
    )
    assert titles(many)[0] == "rate 0.0\nbatch 2"  # narrow panels


def test_several_settings_have_a_key_and_their_colours():
    run = record([diagonal(700, classes=2)] * 2, counts=[90, 10])
    ce, balanced = small(), small(loss="focal", gamma=1, beta=0.8)
    figure = curves.training([run.history] * 3, experiments=[ce, balanced, ce.replace(seed=1)])
    plt.close(figure)
    keys = [[text.get_text() for text in legend.get_texts()] for legend in figure.legends]
    assert [ce.setting, balanced.setting] in keys
    lines = figure.axes[0].get_lines()
    expected = [plots.COLOUR[name] for name in ("CE", "class-balanced", "CE")]
    assert [mpl.colors.to_hex(lines[n].get_color()).upper() for n in (0, 2, 4)] == expected
    assert len(curves.training([run.history] * 2, experiments=[ce, ce.replace(seed=1)]).legends) == 1
    plt.close("all")


def test_the_key_tells_settings_apart_whose_names_are_alike():
    run = record([diagonal(700, classes=2)] * 2, counts=[90, 10])
    experiments = [small(), small(learning_rate=0.3), small(batch_size=7)]
    figure = curves.training([run.history] * 3, experiments=experiments)
    plt.close(figure)
    keys = [[text.get_text() for text in legend.get_texts()] for legend in figure.legends]
    (key,) = [found for found in keys if found[0].startswith(experiments[0].setting)]
    assert len(set(key)) == 3
    assert "rate 0.3" in key[1]


def test_a_setting_has_the_same_colour_whatever_is_drawn_beside_it():
    ce, focal = small(), small(loss="focal", gamma=1)
    balanced = [focal.replace(beta=beta) for beta in (0, 0.8, 0.9, 0.99, 0.999, 0.9999)]
    all_of_them = plots.colours([ce, focal, *balanced])
    assert len(set(all_of_them)) == 8
    assert all_of_them[3] == plots.COLOUR["class-balanced"]
    for e, colour in zip([ce, focal, *balanced], all_of_them, strict=True):
        if e.beta == 0.9:  # too near to 0.8, where both are drawn
            continue
        assert plots.colours([e.replace(seed=3)]) == [colour]
    assert len(set(plots.colours([focal.replace(gamma=g) for g in range(1, 6)]))) == 5
    near = plots.colours([focal.replace(beta=0.8), focal.replace(beta=0.9)])
    assert math.dist(*map(mpl.colors.to_rgb, near)) > 0.15
    other_model = ce.replace(model="VanillaCNN")
    assert len(set(plots.colours([ce, other_model]))) == 2


@pytest.mark.parametrize(("low", "high"), [(0.1, 0.11), (0.102, 0.104), (0, 1)])
def test_the_ticks_of_an_axis_of_percentages_do_not_repeat(low, high):
    figure, axes = plt.subplots()
    axes.set_ylim(low, high)
    axes.yaxis.set_major_formatter(plots.PERCENT)
    figure.draw_without_rendering()
    plt.close(figure)
    labels = [label.get_text() for label in axes.get_yticklabels()]
    assert len(set(labels)) == len(labels) > 3


def test_training_accuracy_is_the_mean_over_the_classes():
    run = record([diagonal(700, classes=2)] * 2, counts=[90, 10])
    history = [e.model_copy(update={"train_hits": [90, 0], "train_accuracy": 0.9}) for e in run.history]
    for counts, expected in (([90, 10], 0.5), ((), 0.9)):
        figure = curves.training([history], counts=counts)
        line = figure.axes[1].get_lines()[0]
        plt.close(figure)
        assert list(line.get_ydata()) == [expected] * 2


@pytest.mark.parametrize("classes", [CLASSES, tuple("abcdefghij"), tuple("abcdefghijkl")])
def test_a_panel_for_every_class_of_the_learning_curves(classes):
    run = record([diagonal(700, classes=len(classes))] * 2, counts=[1] * len(classes))
    assert tuple(titles(curves.training([run.history], classes))) == classes
    assert titles(curves.training([run.history])) == [str(k) for k in range(len(classes))]


@pytest.mark.parametrize(("classes", "grid"), [(2, (1, 5)), (10, (2, 5)), (11, (3, 5)), (100, (10, 10))])
def test_panels_hold_every_class(classes, grid):
    assert plots.panels(classes) == grid


@pytest.mark.parametrize("number", [0, 1, 7])
def test_each_mistake_has_a_title(number):
    images = torch.zeros(number, 3, 8, 8, dtype=torch.uint8)
    figure = plots.mistakes(images, ["ant\n→ cat 50%"] * number)
    assert titles(figure) == ["ant\n→ cat 50%"] * number
