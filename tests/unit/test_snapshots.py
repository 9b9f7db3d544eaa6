"""Sentences that a reader sees, compared with stored ones; `make snapshots` renews them."""

import numpy as np
from synthetic import CLAIMED, FEW_IMAGES, runs

from lib.analysis import claims
from lib.analysis.claims import Evidence, Setting
from lib.notebook.parameters import Plan
from longtail_writeup.report.front import introduction, shortened

FALLING = np.linspace(0.9, 0.0, 10)


def test_sentences_of_the_ledger(snapshot):
    """Every claim, on records that decide some of them, and without any record."""
    balanced = {beta: runs(FALLING, counts=FEW_IMAGES) for beta in CLAIMED["class_balanced_focal"]}
    evidence = Evidence(
        original=CLAIMED,
        cross_entropy=runs(FALLING / 2, counts=FEW_IMAGES),
        balanced=balanced,
        convnet={Setting(0.01, 32): runs(0.8, jitter=0.01), Setting(0.01, 128): runs(0.75)},
        gammas={0.9: {0.0: runs(0.4), 1.0: runs(0.5)}},
        candidates={Setting(0.01, 32): (runs(FALLING / 2, at="best"), runs(FALLING, at="best"))},
    )
    for said in (evidence, Evidence(original=CLAIMED)):
        assert [(c.statement, c.rule, v.verdict, v.answer) for c, v, _ in claims.ledger(said)] == snapshot


def test_the_first_page_of_a_profile_that_departs(snapshot):
    assert shortened(Plan.of("quick")) == snapshot


def test_a_report_on_the_fields_methods_alone_is_not_about_the_write_up():
    assert "*the original* is that write-up" in introduction(Plan.of("quick"))
    alone = introduction(Plan.of("field"))
    assert "original" not in alone
    assert "subset" not in alone
    assert alone.startswith("*Best epoch* is the one of the highest accuracy on the test set; *last epoch*")
