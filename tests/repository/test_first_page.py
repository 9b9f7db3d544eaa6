"""Every number of the write-up report's first page and every verdict's figures, computed again from the records.

Nothing of `lib` is used: records are read as JSON, settings are picked by their fields, intervals are scipy's.
Parameter files say which candidates and which γ the report asks for; kept runs of others wait for more seeds.
"""

import itertools
import json
import re
from math import factorial
from pathlib import Path

import numpy as np
import pytest
import yaml
from safetensors.numpy import load_file
from scipy import stats

ROOT = Path(__file__).resolve().parent.parent.parent
PUBLISHED = ROOT / "outputs" / "published" / "writeup"
CLASSES = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
ORIGINAL = yaml.safe_load((ROOT / "lib" / "analysis" / "original.yaml").read_text())
CE_ROW = np.array(ORIGINAL["cross_entropy"])
ROWS = {beta: np.array(row) for beta, row in ORIGINAL["class_balanced_focal"].items()}
COUNTS = np.array(ORIGINAL["counts"])
FRESH = range(5, 100)
LONG_TAIL = {"model": "ResNet-32", "imbalance": "exponential", "factor": 0.01, "subset_seed": 0, "epochs": 10}
LONG_TAIL |= {"batch_size": 32, "learning_rate": 0.01, "normalisation": "count", "validation": 0.0}
LONG_TAIL |= {"precision": "float32", "steps": [6, 8]}
CONVNET = {"model": "ConvNet", "epochs": 80, "learning_rate": 0.01, "precision": "float32", "steps": [6, 8]}
CONVNET |= {"augmentation": True}

RECORDS = [json.loads(file.read_text())["record"] for file in sorted(PUBLISHED.glob("runs/*/record.json"))]


def runs(base, **fields):
    """Records by seed whose experiment has these fields."""
    wanted = base | fields
    found = {r["experiment"]["seed"]: r for r in RECORDS if {k: r["experiment"][k] for k in wanted} == wanted}
    return dict(sorted(found.items()))


def cross_entropy(**fields):
    return runs(LONG_TAIL, loss="cross_entropy", beta=None, **fields)


def balanced(beta, **fields):
    return runs(LONG_TAIL, **{"loss": "focal", "gamma": 1.0, "beta": 0.0 if beta < 0.75 else beta} | fields)


def by_class(some, rule="last"):
    """Accuracies [seeds, C]."""
    epochs = [r["history"] for r in some.values()]
    chosen = [h[-1] if rule == "last" else max(h, key=lambda e: np.trace(e["test"]["confusion"])) for h in epochs]
    return np.array([np.diag(e["test"]["confusion"]) / 1000 for e in chosen])


def welch(a, b, comparisons=1):
    """Difference in points with its interval, as the report writes it."""
    test = stats.ttest_ind(a, b, equal_var=False)
    low, high = test.confidence_interval(1 - 0.05 / comparisons)
    return 100 * (np.mean(a) - np.mean(b)), 100 * low, 100 * high


def mean(some, rule="last"):
    return by_class(some, rule).mean(axis=1)


def written(values):
    mean, low, high = (f"{value:+.1f}".replace("-", "−") for value in values)
    return f"{mean} points [{low}, {high}]"


def weights(beta):
    effective = (1 - beta ** COUNTS.astype(float)) / (1 - beta) if beta else np.ones(10)
    return (1 / effective) / (1 / effective).sum() * 10


SWEEP = sorted({0.0, *(r["experiment"]["beta"] for r in RECORDS if r["experiment"]["beta"]), *ROWS})
SWEEP = [beta for beta in SWEEP if balanced(beta)]
#: Betas of the sweep by different weights, each with the runs of 0.8 where it is among them.
TREATMENTS = [balanced(0.8)] + [balanced(beta) for beta in SWEEP if beta > 0.8]


@pytest.fixture(scope="module")
def said():
    """Headlines of the published notebooks on the first page, and its ledger by claim: statement, verdict, reason."""
    lines, ledger = {}, None
    for name in ("beta_sweep", "settings", "ablations", "claims"):
        for cell in json.loads((PUBLISHED / f"{name}.ipynb").read_text())["cells"]:
            for output in cell.get("outputs", []):
                metadata = output.get("metadata", {})
                if place := metadata.get("writeup_headline", {}).get("first_page"):
                    lines[place] = "".join(output["data"]["text/markdown"]).replace("\u00a0", " ")
                if metadata.get("writeup", {}).get("name") == "ledger":
                    html = "".join(output["data"]["text/html"]).replace("\u00a0", " ")
                    cells = [re.findall(r"<t[hd]>(.*?)</t[hd]>", row) for row in html.split("<tr>")]
                    ledger = {int(row[0]): row[1:] for row in cells if row and row[0].isdigit()}
    assert set(lines) == {1, 2, 3, 4, 5}
    assert ledger is not None
    return lines, ledger


def shown(notebook):
    """The sentences of a published notebook."""
    cells = json.loads((PUBLISHED / f"{notebook}.ipynb").read_text())["cells"]
    outputs = [output for cell in cells for output in cell.get("outputs", [])]
    texts = ["".join(output.get("data", {}).get("text/markdown", "")) for output in outputs]
    return "\n".join(texts).replace("\u00a0", " ")


def asked(notebook, name):
    return yaml.safe_load((ROOT / "params" / "writeup" / f"{notebook}.yaml").read_text())[name]


def candidates():
    found = {}
    for rate, size, draw in asked("settings", "candidates"):
        fields = {"learning_rate": rate, "batch_size": size, "subset_seed": draw}
        name = f"rate {rate:g}, batch {size}" + (f", draw {draw}" if draw else "")
        found[name] = cross_entropy(**fields), balanced(0.8, **fields)
        assert all(len(each) >= 3 for each in found[name]), name
    return found


#: Of the 5 % a quarter goes to the mean of each row, and a quarter to its ten classes together.
LOOKS = np.array([40] * 10 + [4])


def fitting():
    """Candidates by the row that they fit: not excluded, and within five points on average over the classes."""
    alike = np.array([ROWS[beta] for beta in ROWS if beta <= 0.8])

    def with_mean(rows):
        return np.column_stack([rows, rows.mean(axis=1)])

    def near(some, row):
        return np.abs(by_class(some, "best").mean(axis=0) - row).mean() < 0.05

    fits: dict[str, list[str]] = {"ce": [], "cb": []}
    for name, (ce, cb) in candidates().items():
        low, high = intervals(with_mean(by_class(ce, "best")), LOOKS, prediction=True)
        row = with_mean(CE_ROW[None])[0]
        stated = all(r["experiment"]["batch_size"] == 32 for r in ce.values())  # by the original, of this row
        if stated and ((low <= row) & (row <= high)).all() and near(ce, CE_ROW):
            fits["ce"].append(name)
        ours, theirs = with_mean(by_class(cb, "best")), with_mean(alike)
        n, m = len(ours), len(theirs)
        v, w = (np.maximum(each.var(axis=0, ddof=1), 1e-6) for each in (ours, theirs))
        freedom = (v / n + w / m) ** 2 / ((v / n) ** 2 / (n - 1) + (w / m) ** 2 / (m - 1))
        half = stats.t.ppf(1 - 0.025 / LOOKS, freedom) * np.sqrt(v / n + w / m)
        if (np.abs(ours.mean(axis=0) - theirs.mean(axis=0)) <= half).all() and near(cb, ROWS[0.8]):
            fits["cb"].append(name)
    return fits


def test_the_closing_tables_sentence(said):
    line, found, fits = said[0][1], candidates(), fitting()
    away = {
        row: {s: 100 * np.abs(by_class(pair[i], "best").mean(axis=0) - wanted).mean() for s, pair in found.items()}
        for i, (row, wanted) in enumerate({"ce": CE_ROW, "cb": ROWS[0.8]}.items())
    }
    ce, cb = (min(away[row], key=away[row].get) for row in ("ce", "cb"))
    opens = (
        f" Of the {len(found)} settings run, the original's cross-entropy row ({100 * CE_ROW.mean():.1f} %) fits our"
    )
    assert f"{opens} runs with {' or '.join(fits['ce'])}; its" in line
    assert f"row ({100 * ROWS[0.8].mean():.1f} %) fits our runs with {' or '.join(fits['cb'])}. With" in line
    near = shown("settings")
    assert (
        f"cross-entropy row are our runs with {ce} (mean distance over the classes {away['ce'][ce]:.1f} points)" in near
    )
    assert f"to its CB-Focal row those with {cb} ({away['cb'][cb]:.1f})" in near
    equal = max(found, key=lambda name: (min(map(len, found[name])), -away["cb"][name]))
    assert f"With equal settings ({equal})" in line
    gain = welch(mean(found[equal][1], "best"), mean(found[equal][0], "best"))
    assert f"CB-Focal at β = 0.8 minus cross-entropy is {written(gain)} (best epoch; " in line
    assert f"; in the original it is {100 * (ROWS[0.8].mean() - CE_ROW.mean()):+.1f}." in line
    ce_best, cb_best = (mean(some, "best") for some in found[equal])
    v, w, n, m = cb_best.var(ddof=1), ce_best.var(ddof=1), len(cb_best), len(ce_best)
    p, q = v * (1 + 1 / n), w * (1 + 1 / m)
    reach = stats.t.ppf(0.975, (p + q) ** 2 / (p**2 / (n - 1) + q**2 / (m - 1))) * np.sqrt(p + q)
    inside = abs(cb_best.mean() - ce_best.mean() - (ROWS[0.8].mean() - CE_ROW.mean())) <= reach
    ends = [100 * (cb_best.mean() - ce_best.mean() + side * reach) for side in (-1, 1)]
    said_ends = " to ".join(f"{end:+.1f}" for end in ends).replace("-", "−")
    assert f"lies {'inside' if inside else 'outside'} what one more pair of runs with equal settings would" in near
    assert f"would give, {said_ends} (best epoch" in near
    ce_rates, cb_rates = ([float(re.search(r"rate ([\d.e-]+)", n)[1]) for n in names] for names in fits.values())
    times = sorted(high / low for high, low in itertools.product(cb_rates, ce_rates))
    assert times[0] > 1
    assert f"at a {times[0]:.0f}- to {times[-1]:.0f}-fold smaller learning rate" in line


def test_the_sentence_on_one_treatment(said):
    line = said[0][2]
    alike = [beta for beta in ROWS if np.abs(weights(beta) / weights(0.0) - 1).max() <= 1e-3]
    rows = np.array([ROWS[beta] for beta in alike])
    assert line.startswith(f"**{len(alike)} of the original's {len(ROWS)} β are one weighting.** Their class")
    assert f"weights (β = 0 to {max(alike):g}) agree to within a thousandth;" in line
    low, high = 100 * rows.mean(axis=1).min(), 100 * rows.mean(axis=1).max()
    assert f"their rows, {low:.1f} to {high:.1f} % on average" in line
    spread = rows.max(axis=0) - rows.min(axis=0)
    assert f"up to {100 * spread.max():.1f} points apart for {CLASSES[spread.argmax()]}, differ" in line


def test_the_sentence_on_the_best_beta(said):
    line, ce = said[0][3], cross_entropy()
    groups = {0.8: max(balanced(0.0), balanced(0.8), key=len), **{beta: balanced(beta) for beta in SWEEP if beta > 0.8}}
    first = {beta: {s: r for s, r in own.items() if s not in FRESH} for beta, own in groups.items()}
    best = max(groups, key=lambda beta: mean(first[beta]).mean())
    gain = welch(mean(groups[best]), mean(ce), comparisons=len(TREATMENTS))
    assert f"and minus that of cross-entropy is {written(gain)} (last epoch; " in line
    others = [beta for beta in groups if beta != best]
    by_weights = welch(mean(groups[best]), mean(groups[0.8]), len(others))
    assert f"the accuracy at β = {best:g} minus that at β = 0 to 0.8 is {written(by_weights)}, and" in line
    lead = f"**The best β gains {by_weights[0]:.1f} points over the loss without weights.**"
    assert line.startswith(lead) == (by_weights[1] > 0)
    level = [b for b in others if welch(mean(groups[best]), mean(groups[b]), len(others))[1] <= 0]
    alike = f"β = {' and '.join(f'{beta:g}' for beta in level)} cannot be told apart from β = {best:g}"
    assert (alike in shown("beta_sweep")) == bool(level)
    fresh = [{s: r for s, r in own.items() if s in FRESH} for own in (groups[best], groups[0.8])]
    if min(map(len, fresh)) > 1:
        again = written(welch(*map(mean, fresh)))
        assert f"Fresh seeds, run after that choice, give {again} over β = 0 to 0.8" in line
    numbers = len(groups[best]), len(ce)
    seeds = "{} and {} seeds".format(*numbers) if len(set(numbers)) > 1 else f"{numbers[0]} seeds each"
    assert f"(last epoch; {seeds}; corrected for the choice among {len(TREATMENTS)} weightings)" in line


def test_the_sentence_on_weights_and_rate(said):
    """The mean weight of a training image, by which the learning rate is divided, is computed here."""
    line, base = said[0][4], mean(balanced(0.8))
    wanted = asked("ablations", "rescaled_betas")
    rates = {beta: round(0.01 / np.average(weights(beta), weights=COUNTS), 4) for beta in wanted}
    betas = [beta for beta, rate in rates.items() if rate != 0.01]  # the others have no third form
    best = max(betas, key=lambda beta: mean(balanced(beta)).mean())
    rate = rates[best]
    forms = [balanced(best), balanced(best, normalisation="weights"), balanced(best, learning_rate=rate)]
    count, by_weights, rescaled = map(mean, forms)
    first, second, third = (welch(each, base, len(betas)) for each in (count, by_weights, rescaled))
    assert f" Its weights average {np.average(weights(best), weights=COUNTS):.2f} over the training images" in line
    assert (
        f"The accuracy minus that at β = 0.8 is {written(first)} with the loss divided by the number of "
        f"images, {written(second)} divided by the sum of their weights, and "
        f"{written(third)} with the learning rate divided by that average" in line
    )
    assert f"; corrected for the choice among {len(betas)} β)" in line
    every = [balanced(0.8), *forms]
    same = set.intersection(*map(set, every))
    level = [mean({seed: own[seed] for seed in same}).mean() for own in every]
    gains = ", ".join(f"{100 * (each - level[0]):+.1f}" for each in level[1:]).replace("-", "−")
    if len(set(map(len, every))) > 1:
        assert line.endswith(f" On the {len(same)} seeds in common: {gains}.")
    less = [welch(count, other, 2 * len(betas)) for other in (by_weights, rescaled)]
    apart = f"exceeds that of the others by {written(less[0])} and {written(less[1])} (95 % together"
    assert apart in shown("ablations")
    lower = first[1] > 0 and all(low > 0 for _, low, _ in less)
    assert line.startswith(f"**β = {best:g} gains less where its smaller loss is made up for.**") == lower


def test_the_sentence_on_logit_adjustment(said):
    """From the kept logits, and the labels of the test set in its order, a digit each."""
    digits = (Path(__file__).parent / "cifar10_test_labels.txt").read_text().split()
    labels = np.array([*map(int, "".join(digits))])
    files = {seed: PUBLISHED / "runs" / r["key"] / "logits.safetensors" for seed, r in cross_entropy().items()}
    logits = {seed: load_file(file)["test"].astype(float) for seed, file in files.items() if file.exists()}
    change = np.log(COUNTS / COUNTS.sum())
    before, after = (
        np.array([np.mean((z - shift).argmax(1) == labels) for z in logits.values()]) for shift in (0, change)
    )
    low, high = stats.ttest_1samp(after - before, 0).confidence_interval()
    found = written((100 * (after - before).mean(), 100 * low, 100 * high))
    assert f"accuracy from {100 * before.mean():.1f} to {100 * after.mean():.1f} %: {found} (last epoch; " in said[0][5]
    assert f"the same {len(logits)} seeds before and after)" in said[0][5]
    beta = float(re.search(r"the accuracy at β = ([\d.]+) minus", said[0][3])[1])
    own = balanced(beta)
    if own.keys() >= logits.keys():
        reached = 100 * mean({seed: own[seed] for seed in logits}).mean()
        assert said[0][5].endswith(f" β = {beta:g} reaches {reached:.1f} % on these seeds.")
    rarest = [
        100 * np.mean([((z - change).argmax(1) == labels)[labels == k].mean() for z in logits.values()]) for k in (8, 9)
    ]
    assert f"reaches {rarest[0]:.1f} % for ship and {rarest[1]:.1f} % for truck" in shown("beta_sweep")
    raises = "**Logit adjustment raises cross-entropy's accuracy without training again.**"
    assert said[0][5].startswith(raises) == (low > 0)


def intervals(rows, comparisons, prediction=False):
    """Ends [C] of Student's intervals of the mean, or of one more run; a run varies at least by an image."""
    n, middle = len(rows), rows.mean(axis=0)
    deviation = np.maximum(rows.std(axis=0, ddof=1), 0.001)
    half = stats.t.ppf(1 - 0.025 / comparisons, n - 1) * deviation * np.sqrt(prediction + 1 / n)
    return middle - half, middle + half


def test_the_ledgers_first_claim(said):
    verdict, *_, because = said[1][1][1:]
    pair = runs(CONVNET, batch_size=32), runs(CONVNET, batch_size=128)
    gain = welch(mean(pair[0]), mean(pair[1]))
    assert because.startswith(f"{written(gain)} with batch 32")
    control = runs(CONVNET | {"learning_rate": 0.04}, batch_size=128)
    left = welch(mean(pair[0]), mean(control))
    assert f"over batch 128 with four times the rate {written(left)}: " in because
    if left[1] <= 0 <= left[2]:
        assert because.endswith("whether more updates are the reason is undecided") == (max(-left[1], left[2]) > 1)
    several = min(map(len, pair)) >= 3
    assert verdict == (
        "undecided" if not several or gain[1] <= 0 <= gain[2] else "supported" if gain[1] > 0 else "contradicted"
    )


def below_the_floor(some, classes):
    _, high = intervals(by_class(some)[:, [CLASSES.index(name) for name in classes]], len(classes))
    return [name for name, end in zip(classes, high, strict=True) if end < 0.01]


def named(names):
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names or ["none"])


def test_the_ledgers_claims_on_the_sweep(said):
    ledger, chosen, ce = said[1], balanced(0.8), cross_entropy()
    assert ledger[2][1] == "contradicted"  # by calculation: eight other betas have the same weights
    assert "at β = 0 to 0.8 the weights are the same to within a thousandth" in ledger[2][-1]
    dead = below_the_floor(chosen, CLASSES)
    assert ("shown to lie below 1 %: " + named(dead) in ledger[2][-1]) == bool(dead)

    gains = [welch(by_class(chosen)[:, k], by_class(ce)[:, k], 10) for k in range(10)]
    up = [name for name, (_, low, _) in zip(CLASSES, gains, strict=True) if low > 0]
    down = [name for name, (_, _, high) in zip(CLASSES, gains, strict=True) if high < 0]
    shown = f"shown to be higher: {named(up)}; lower: {named(down)}" if up or down else "no class is shown to differ"
    assert ledger[3][-1].startswith(
        f"{shown}; mean over the classes {written(welch(mean(chosen), mean(ce)))}; to detect one"
    )
    assert (ledger[3][1] == "contradicted") == ("bird" in up or bool(set(down) - {"bird"}))

    order = np.repeat(np.arange(len(TREATMENTS)), list(map(len, TREATMENTS)))
    rows = [by_class(some) for some in TREATMENTS]
    monotone = []
    for k, name in enumerate(CLASSES):
        tau = stats.kendalltau(order, np.concatenate([row[:, k] for row in rows]), method="asymptotic")
        pairs = list(itertools.combinations(range(len(rows)), 2))
        # Each step at 90 %, corrected over the classes: all steps are needed, one class is enough.
        steps = [welch(rows[j][:, k], rows[i][:, k], 0.5 * 10) for i, j in pairs if np.ptp(rows[i][:, k]) > 0]
        if tau.pvalue < 0.005 and all((high if tau.statistic < 0 else -low) < 5 for _, low, high in steps):
            monotone.append(name)
    assert ledger[5][-1].endswith(f"monotone to within five points from β = 0 to {SWEEP[-1]:g}: {named(monotone)}")
    stated = [balanced(0.8)] + [balanced(beta) for beta in ROWS if beta > 0.8]
    order = np.repeat(np.arange(len(stated)), list(map(len, stated)))
    columns = np.concatenate([by_class(some) for some in stated]).T
    trends = [stats.kendalltau(order, column, method="asymptotic").pvalue < 0.005 for column in columns]
    assert ledger[5][-1].startswith(
        f"classes with a trend over the original's β: {named([n for n, t in zip(CLASSES, trends, strict=True) if t])};"
    )
    assert (ledger[5][1] == "contradicted") == bool(monotone)

    dead = below_the_floor(chosen, ["horse", "ship", "truck"])
    assert (ledger[7][1] == "contradicted") == bool(dead)
    assert (f"at β = 0.8 shown to lie below 1 %: {named(dead)}; best" in ledger[7][-1]) == bool(dead)
    rare = by_class(chosen)[:, [CLASSES.index(name) for name in ("horse", "ship", "truck")]]
    first, *_, last = rare.mean(axis=0).argsort()[::-1]
    low, high = intervals((rare[:, first] - rare[:, last])[:, None], 3)
    gap = 100 * (rare[:, first] - rare[:, last]).mean(), 100 * low[0], 100 * high[0]
    assert f"best class minus worst {written(gap)}" in ledger[7][-1]
    low, high = intervals(rare, 1)[0], intervals(rare, 3)[1]
    between = [k for k in range(3) if low[k] <= 0.01 <= high[k]]
    exact = [(2.8 * rare[:, k].std(ddof=1) / abs(rare[:, k].mean() - 0.01)) ** 2 for k in between]
    seeds = [f"{float(f'{n:.2g}'):,.0f}" for n in exact]
    names = [("horse", "ship", "truck")[k] for k in between]
    tell = f"; to tell {named(names)} from 1 % takes about {named(seeds)} seeds"
    assert ledger[7][-1].endswith(tell) == bool(between)


def test_the_ledgers_claim_on_overfitting(said):
    row = said[1][4]

    settings = cross_entropy(), balanced(0.8), balanced(0.99)
    final = min(sum(bool(r.get("final_train_correct")) for r in some.values()) for some in settings) >= 3

    def gaps(some):
        kept = [r for r in some.values() if not final or r.get("final_train_correct")]
        correct = [r["final_train_correct"] if final else r["history"][-1]["train_hits"] for r in kept]
        trained = np.array([np.array(each[:2]) / COUNTS[:2] for each in correct])
        return (trained - by_class(dict(enumerate(kept)))[:, :2]).mean(axis=1)

    ce, plain, weighted = map(gaps, settings)
    reduction = written(welch(plain, weighted, 2))
    equal = welch(plain, weighted, 0.5)  # at 90 %: two one-sided tests
    _, high = intervals(ce[:, None], 1)
    if high[0] < 0.01:
        assert "cross-entropy does not overfit these classes" in row[-1]
    elif equal[1] > -1 and equal[2] < 1:
        assert row[1] == "contradicted"
        assert row[-1].endswith(f" by {written(equal)} (90 % interval): less than a point")
    else:
        assert row[-1] == f"gap between training and test without weights minus with weights: {reduction}"


def test_the_ledgers_claim_on_gamma(said):
    tuned = {}
    for beta, gamma in asked("ablations", "gammas"):
        if gamma != 1:
            tuned[beta, gamma] = mean(balanced(beta, gamma=gamma)), mean(balanced(beta))
    gains = [welch(*pair, comparisons=len(tuned)) for pair in tuned.values()]
    row = said[1][8]
    if not any(low > 0 for _, low, _ in gains):
        assert f"the highest is {written(max(gains))}; to detect one point takes about " in row[-1]
        assert row[1] != "supported"
    else:
        assert row[1] == "supported"
        assert row[-1].startswith("better than γ = 1: ")


def test_the_ledgers_claim_on_equal_settings(said):
    row, found = said[1][9], fitting()
    assert row[-1].startswith(
        f"candidates that fit the cross-entropy row: {'; '.join(found['ce']) or 'none'}; "
        f"the CB-Focal row: {'; '.join(found['cb']) or 'none'}"
    )
    assert (row[1] == "supported") == bool(set(found["ce"]) & set(found["cb"]))


def test_chance_of_a_monotone_order():
    text = "".join(json.dumps(json.loads((PUBLISHED / "claims.ipynb").read_text()), ensure_ascii=False))
    assert f"so many values in random order are monotone once in {factorial(9) // 2:,} times" in text


def test_the_report_has_no_hole():
    for file in [PUBLISHED / "report.html", *PUBLISHED.glob("*.ipynb")]:
        assert "not run yet" not in file.read_text().lower(), file.name
