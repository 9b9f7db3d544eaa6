"""Comparisons give the values, and the sentences, that their records call for."""

import numpy as np
import pytest
from scipy import stats
from synthetic import CLAIMED, record, runs

from lib.analysis import claims, tables
from lib.analysis.claims import CLAIMS, Answer, Evidence, Row, Setting, Verdict
from lib.analysis.statistics import accuracy, best_accuracy
from lib.notebook import session
from lib.system.errors import UserError
from longtail_writeup import comparisons, findings, sentences

COUNTS = CLAIMED["counts"]
CE_ROW, CB_ROW = np.array(CLAIMED["cross_entropy"]), np.array(CLAIMED["class_balanced_focal"][0.8])


def test_what_is_missing_is_named_with_how_much_of_it():
    found = {"CE": {0: None, 1: None}, 0.999: {}, (0.9, 2.0): {0: None}}
    text = session.not_run(found, seeds=range(2))
    assert (
        text == "**Not run yet,** by setting and runs that are there: β = 0.999 (none of 2), β = 0.9, γ = 2 (1 of 2)."
    )
    assert session.not_run({"CE": {0: None}}, seeds=[0]) == ""


def sweep(betas, means, noise=1e-3, seeds=4):
    """Runs by beta whose accuracies lie around these means, evenly to both sides."""
    shift = noise * np.linspace(-1, 1, seeds)
    return {
        beta: {s: record(s, mean + shift[s]) for s in range(seeds)} for beta, mean in zip(betas, means, strict=True)
    }


def spread(betas, means, margin=0.01, **options):
    return findings.spread(sweep(betas, means, **options), COUNTS, margin)


def test_betas_that_change_less_than_the_margin_are_shown_to_be_equivalent():
    found = spread([0.0, 0.8, 0.9, 0.99], (0.4, 0.4, 0.401, 0.399))
    assert found.groups == [[0.0, 0.8], [0.9], [0.99]]
    assert found.equivalent
    assert found.over_seeds == pytest.approx(0.001 * np.linspace(-1, 1, 4).std(ddof=1), abs=1e-4)
    assert found.over_betas == pytest.approx(0.001, abs=1e-4)


@pytest.mark.parametrize(("highest", "equivalent"), [(0.408, True), (0.4115, False), (0.45, False)])
def test_a_beta_that_matters_is_not_called_equivalent(highest, equivalent):
    found = spread([0.0, 0.9, 0.99], (0.4, 0.401, highest))
    assert found.equivalent == equivalent
    assert found.pair == (0.0, 0.99)
    assert found.largest.mean == pytest.approx(highest - 0.4, abs=5e-4)


def test_betas_beyond_the_published_ones_are_left_out_of_the_spread():
    assert spread([0.0, 0.9, 0.9999], (0.4, 0.4, 0.9)).groups == [[0.0], [0.9]]
    assert spread([0.0, 0.9], (0.4, 0.5), seeds=1) is None
    assert spread([0.0, 0.8], (0.4, 0.5)) is None  # no run could tell them apart


def test_the_spread_over_betas_is_that_on_the_seeds_that_all_have():
    runs = sweep([0.0, 0.9], (0.4, 0.4))
    higher = {s: record(s, 0.5) for s in range(4, 9)}  # seeds of one beta alone, all higher
    assert findings.spread({0.0: runs[0.0] | higher, 0.9: runs[0.9]}, COUNTS, 0.01).over_betas < 1e-6
    assert findings.spread({0.0: higher, 0.9: runs[0.9]}, COUNTS, 0.01) is None


def test_equivalence_is_two_one_sided_tests():
    runs = sweep([0.0, 0.9], (0.4, 0.402), noise=0.004)
    a, b = ([r.last.test.accuracy for r in own.values()] for own in runs.values())
    for margin in (0.004, 0.006, 0.008, 0.01):
        p = max(
            stats.ttest_ind(np.add(a, margin), b, equal_var=False, alternative="greater").pvalue,
            stats.ttest_ind(np.subtract(a, margin), b, equal_var=False, alternative="less").pvalue,
        )
        assert findings.spread(runs, COUNTS, margin).equivalent == (p < 0.05)
    assert findings.spread(runs, COUNTS, 0.01).equivalent
    assert not findings.spread(runs, COUNTS, 0.004).equivalent


def test_equivalence_of_several_is_that_of_each_to_each():
    """The first is near both others, which are far from one another."""
    found = spread([0.0, 0.9, 0.99], (0.500, 0.494, 0.506))
    assert not found.equivalent
    assert found.pair == (0.9, 0.99)
    assert found.largest.mean == pytest.approx(0.012, abs=3e-4)
    assert spread([0.0, 0.9], (0.500, 0.494)).equivalent


def validated(beta, test, validation, best=0.9, seeds=3):
    return {beta: {s: record(s, test, validation=validation, held_out=0.1, best=best) for s in range(seeds)}}


def test_beta_is_chosen_on_the_validation_split_and_peeking_is_priced():
    split = validated(0.0, 0.40, 0.50, best=0.45) | validated(0.9, 0.42, 0.45, best=0.47)
    found = findings.clean_choice(split)
    assert (found.beta, found.accuracies.tolist()) == (0.0, pytest.approx([0.40] * 3))
    assert (found.peeked, found.reported.tolist()) == (0.9, pytest.approx([0.47] * 3))
    assert (found.gain.mean, found.gain.seeds) == (pytest.approx(0.07), (3, 3))
    assert found.by_epoch == pytest.approx(0.05)
    assert found.range == pytest.approx(0.05)
    assert found.images.tolist() == [1000] * 10
    assert found.error == pytest.approx(np.sqrt(10 * 0.25 / 1000) / 10, rel=0.01)
    more = findings.clean_choice(split | validated(0.9999, 0.60, 0.40, best=0.62))
    assert (more.beta, more.peeked) == (0.0, 0.9999)  # both rules choose among the same
    assert findings.clean_choice({0.0: split[0.0], 0.9: {}}) is None
    assert findings.clean_choice({}) is None


def test_betas_with_any_number_of_seeds_have_a_line():
    split = validated(0.0, 0.40, 0.50) | validated(0.99, 0.5, 0.60, seeds=1)
    found = {beta: own.values() for beta, own in (split | {0.999: {}}).items()}
    table = tables.means(found, {"split": findings.validation_accuracy, "test": accuracy, "best": best_accuracy}, "β")
    assert table.loc[0.99].tolist() == ["60.0", "50.0", "90.0", 1]
    assert table.loc[0.999].tolist() == ["not run yet"] * 3 + [0]


def reached(*accuracies):
    return {s: record(s, 0.01, best=a) for s, a in enumerate(accuracies)}


def test_the_likeliest_reading_is_the_nearest_one():
    found = {"as stated": reached(0.70, 0.702), "constant rate": reached(0.80, 0.81), "bfloat16": {}}
    text = sentences.likeliest_reading(found, 0.807)
    assert text.startswith("The nearest of 2 readings is *constant rate*: 0.2 points below the original's 80.7 %")
    assert "contains the original's accuracy for 1 of 2 readings: constant rate." in text
    far = {"as stated": reached(0.70, 0.701), "bfloat16": reached(0.71, 0.711)}
    assert "accuracy for 0 of 2 readings: none." in sentences.likeliest_reading(far, 0.807)
    single = sentences.likeliest_reading({"as stated": reached(0.70), "bfloat16": reached(0.71)}, 0.807)
    assert "prediction interval" not in single  # of one run there is none
    one = sentences.likeliest_reading({"as stated": reached(0.70)}, 0.807)
    assert one.startswith("One reading was run, as stated: its accuracy is 10.7 points below the original's 80.7 %")
    assert "Not run yet" in sentences.likeliest_reading({"as stated": {}}, 0.807)
    controlled = found | {"batch 128, rate 0.04": reached(0.807, 0.808)}  # nearer, and contradicts what is stated
    assert sentences.likeliest_reading(controlled, 0.807) == text
    assert sentences.controls(controlled) == ", beside controls of claim 1 (batch 128, rate 0.04)"
    assert sentences.controls(found) == ""
    assert sentences.likeliest_reading(found, 0.807, " Not tested.") == "Not tested."


def test_equal_settings_are_compared_where_they_have_the_most_seeds():
    candidates = {
        Setting(0.1, 32): (
            runs(CB_ROW.clip(0.3) - 0.2),
            runs(CB_ROW.clip(0.4) - 0.3),
        ),  # as many seeds, and farther from the original
        Setting(0.1, 64): (runs(CB_ROW, seeds=2), runs(CB_ROW, seeds=2)),
        Setting(0.01, 32): tuple({s: record(s, row, best=row) for s in range(4)} for row in (CB_ROW - 0.02, CB_ROW)),
        Setting(0.001, 32): tuple({s: record(s, CE_ROW, best=CE_ROW) for s in range(2)} for _ in range(2)),
        Setting(0.0001, 32): (runs(CE_ROW), {}),
    }
    found = findings.equal_settings(Evidence(original=CLAIMED, candidates=candidates))
    assert found.setting == Setting(0.01, 32)
    assert found.gain.seeds == (4, 4)
    assert found.gain.mean == pytest.approx(0.002, abs=0.02)
    assert found.ce == (Setting(0.001, 32), pytest.approx(0))
    assert found.balanced == (Setting(0.01, 32), pytest.approx(0))
    assert found.original == pytest.approx(CB_ROW.mean() - CE_ROW.mean())
    with pytest.raises(UserError, match="No candidate has runs of both losses"):
        findings.equal_settings(Evidence(original=CLAIMED, candidates={Setting(0.01, 32): ({}, {})}))


def test_draws_are_compared_by_the_gain_of_the_balanced_loss_on_each():
    by_draw = {
        draw: ({s: record(s, 0.30) for s in range(2)}, {s: record(s, 0.30 + gain) for s in range(2)})
        for draw, gain in enumerate((0.01, 0.03))
    }
    gains, chance = findings.draws(by_draw)
    assert gains == pytest.approx([0.01, 0.03])
    assert chance == pytest.approx(0)
    spread_out = {0: {0: record(0, 0.31), 1: record(1, 0.33)}, 1: by_draw[1][1]}
    _, chance = findings.draws({draw: (by_draw[draw][0], spread_out[draw]) for draw in (0, 1)})
    assert chance == pytest.approx(np.sqrt(np.var([0.01, 0.03], ddof=1) / 2 / 2))  # mean of two draws, two seeds
    one_seed = {draw: tuple({0: by_seed[0]} for by_seed in pair) for draw, pair in by_draw.items()}
    assert np.isnan(findings.draws(one_seed)[1])
    assert findings.draws({0: by_draw[0], 1: ({}, {})})[0] == pytest.approx([0.01])


def test_the_ledgers_table_has_a_line_for_every_claim():
    yes, no = (Verdict(outcome, Answer("why", "because")) for outcome in ("supported", "contradicted"))
    ledger = [Row(claim, no if claim.number > 2 else yes, None) for claim in CLAIMS]
    table = claims.table(ledger)
    assert table.index.tolist() == list(range(1, 10))
    assert table["verdict"].tolist() == ["supported"] * 2 + ["contradicted"] * 7
    assert table.columns.tolist() == ["claim", "verdict", "because"]
    again = claims.table([*ledger[:-1], Row(CLAIMS[-1], no, yes)])
    assert again["fresh seeds"].tolist() == ["–"] * 8 + ["supported"]


def test_tables_show_intervals_and_what_is_missing():
    quality = tables.quality({"CE": [record(s, np.linspace(1, 0.1, 10)) for s in range(3)]})
    assert quality.loc["CE", "head"] == "90.0 ± 0.0"
    assert quality.loc["CE", "middle"] == "55.0 ± 0.0"
    assert quality.loc["CE", "tail"] == "20.0 ± 0.0"
    rising = tables.quality({"CE": [record(0, np.linspace(1, 0.1, 10), counts=CLAIMED["counts"][::-1])]})
    assert rising.loc["CE", ["head", "middle", "tail"]].tolist() == ["20.0", "55.0", "90.0"]  # by rank
    assert quality.loc["CE", "worst class"] == "10.0 ± 0.0"
    assert quality.loc["CE", "calibration error"] == "10.0 ± 0.0"
    compared = comparisons.compared({"a": runs(0.4), "b": runs(0.5), "c": {}}, base="a")
    assert compared.loc["b", "difference (points)"].startswith("+")
    assert compared.loc["c"].tolist() == ["not run yet", "not run yet", 0]
    assert len(compared.columns) == 3  # all have the same seeds
    uneven = comparisons.compared({"a": runs(0.4) | {9: record(9, 0.9)}, "b": runs(0.5), "c": {}}, base="a")
    assert uneven.loc["b", f"on {len(runs(0.4))} seeds in common"] == compared.loc["b", "difference (points)"]
    assert uneven.loc["b", "difference (points)"] != compared.loc["b", "difference (points)"]
    alike = comparisons.alike({"draw 0": ({0: record(0, 0.3)}, {0: record(0, 0.4)}), "draw 1": ({}, {})})
    assert alike.loc["draw 0"].tolist() == ["30.0", "40.0", "+10.0", "1"]
    assert alike.loc["draw 1"].tolist() == ["not run yet"] * 3 + ["0"]
    grid = comparisons.by_two({(0.9, 1.0): {0: record(0, 0.3)}, (0.9, 2.0): {}}, "β", "γ")
    assert grid.loc["β = 0.9"].to_dict() == {"γ = 1": "30.0", "γ = 2": "not run yet"}
    uneven = comparisons.alike({"a": ({s: record(s, 0.3 + 0.1 * s) for s in range(3)}, {0: record(0, 0.35)})})
    assert uneven.loc["a", "CE (%)"].startswith("40.0 ±")  # of all seeds
    assert uneven.loc["a"].tolist()[1:] == ["35.0", "-5.0", "3, 1"]
    readings = comparisons.readings({"as stated": reached(0.7), "bfloat16": {}}, 0.807)
    assert readings.loc["as stated", "difference (points)"] == "-10.7"
    assert readings.loc["bfloat16", "best epoch (%)"] == "not run yet"


@pytest.mark.parametrize("seed", range(3))
def test_claims_are_about_whatever_records_there_are(seed):
    """On a random set of records every claim ends in a verdict and a sentence."""
    rng = np.random.default_rng(seed)
    some = [runs(rng.uniform(0, 1, 10)) for _ in range(8)]
    evidence = Evidence(
        original=CLAIMED,
        cross_entropy=some[0],
        balanced={0.0: some[1], 0.8: some[2], 0.9: some[3]},
        convnet={Setting(0.01, 32): some[4], Setting(0.01, 128): some[5]},
        gammas={0.9: {1.0: some[6], 2.0: some[7]}},
        candidates={Setting(0.01, 32): (some[0], some[2])},
    )
    for _, found, _ in claims.ledger(evidence):
        assert found.verdict in claims.VERDICTS
        assert "nan" not in found.because
