"""The runs that notebooks ask for, and those of them that are stored."""

from dataclasses import replace

import pytest
from conftest import run, small

from lib.analysis.balancing import neutral_betas
from lib.analysis.claims import Setting
from lib.notebook import plans, session
from lib.notebook.session import Notebook
from lib.runs.store import Store, opened
from lib.system import paths
from lib.system.errors import UserError

COUNTS = [5000, 2997, 1796, 1077, 645, 387, 232, 139, 83, 50]
PROFILES = ["smoke", "quick", "writeup"]


@pytest.fixture(autouse=True)
def nothing_executed(tmp_path, monkeypatch):
    """So that parameter files are read, and not what somebody executed here."""
    monkeypatch.setattr(paths, "OUTPUTS", tmp_path / "outputs")
    monkeypatch.setattr(paths, "RUNS", tmp_path / "outputs" / "runs")
    monkeypatch.setattr(paths, "PUBLISHED", tmp_path / "published")


def asked(name, profile="writeup"):
    return session.asked_by(name, profile)


def test_an_experiment_is_all_the_parameters_that_are_settings_of_a_run():
    experiment = asked("beta_sweep").experiment(beta=0.9)
    assert (experiment.data, experiment.model) == ("cifar10", "ResNet-32")
    assert (experiment.loss, experiment.gamma, experiment.beta) == ("focal", 1, 0.9)
    assert (experiment.epochs, experiment.steps, experiment.learning_rate) == (10, (6, 8), 0.01)
    assert asked("convnet").experiment(model="ConvNet").epochs == 80  # not the baselines' epochs


def test_the_sweep_has_cross_entropy_and_every_beta_and_trains_equal_weights_once():
    wanted = plans.beta_sweep(asked("beta_sweep"), COUNTS, validation=0)
    betas = [name for name in wanted if name != plans.CE]
    assert len(betas) == 14
    same = neutral_betas(COUNTS, betas)
    assert {wanted[beta].key for beta in same} == {wanted[0.0].key}
    assert len({e.key for e in wanted.values()}) == 1 + len(betas) - len(same) + 1
    ce = wanted[plans.CE]
    assert (ce.loss, ce.beta, ce.gamma, ce.validation) == ("cross_entropy", None, 0, 0)


def test_notebooks_that_ask_for_the_same_run_mean_the_same_record():
    """Cross-entropy of the sweep, the data wrangling, the search and the first draw; and the chosen beta likewise."""
    wrangled = plans.cross_entropy(asked("data_wrangling"))
    swept = plans.beta_sweep(asked("beta_sweep"), COUNTS, validation=0)
    table, drawn = plans.closing_table(asked("settings")), plans.both_losses(asked("ablations"), "subset_seeds")
    assert wrangled.key == swept[plans.CE].key == table[Setting(0.01, 32), plans.CE].key == drawn[0, plans.CE].key
    assert swept[0.8].key == table[Setting(0.01, 32), "CB"].key == drawn[0, "CB"].key
    by_gamma, rescaled = (
        plans.by_gamma(asked("ablations")),
        plans.rescaled(ablations_of(0.99), COUNTS),
    )
    assert swept[0.9].key == by_gamma[0.9, 1.0].key
    assert swept[0.99].key == rescaled["β = 0.99, by count"].key
    assert plans.forms(asked("ablations"))["focal, batch 32"].key == swept[0.8].key


def ablations_of(*betas):
    here = asked("ablations")
    return replace(here, values={**here.values, "rescaled_betas": list(betas)})


def test_two_forms_of_the_balanced_loss_keep_the_mean_step():
    """The mean weight of a training image is 0.798 at 0.99 and 0.171 at 0.9999."""
    wanted = plans.rescaled(ablations_of(0.99, 0.9999), COUNTS)
    assert wanted.pop("β = 0.8") == asked("ablations").experiment()
    assert [e.learning_rate for name, e in wanted.items() if "rescaled" in name] == [0.0125, 0.0585]
    for name, experiment in wanted.items():
        assert name.startswith(f"β = {experiment.beta:g}, by {experiment.normalisation}")
    assert len({e.key for e in wanted.values()}) == 6
    assert [*plans.rescaled(ablations_of(0.9), COUNTS)] == ["β = 0.8", "β = 0.9, by count", "β = 0.9, by weights"]


def test_runs_of_more_seeds_join_those_of_the_same_setting():
    assert plans.joined({"a": {0: 1}, "b": {}}, {"a": {5: 2}, "c": {6: 3}}) == {"a": {0: 1, 5: 2}, "b": {}}


def test_fresh_seeds_follow_those_of_the_sweep():
    sweep = asked("beta_sweep")
    fresh = plans.fresh_seeds(sweep)
    assert not set(fresh) & set(plans.seeds(sweep))
    assert set(plans.confirmation(sweep, COUNTS)) == {plans.CE, 0.8, 0.99, 0.999}
    assert set(fresh) <= set(plans.counted_as_fresh(sweep)[:100])
    assert not plans.counted_as_fresh(replace(sweep, values={**sweep.values, "confirm_repeats": 0}))
    fewer = replace(sweep, values={**sweep.values, "betas": [0.0, 0.8]})
    assert set(plans.confirmation(fewer, COUNTS)) == {plans.CE, 0.8}  # those that the sweep has


def test_a_profile_that_departs_in_model_or_data_tests_no_claim_on_runs():
    from lib.analysis import claims, original

    ledger = claims.ledger(plans.evidence("quick", COUNTS, original.figures()))
    verdicts = {row.claim.number: row.found.verdict for row in ledger}
    assert verdicts.pop(6) == "contradicted"  # a calculation
    assert set(verdicts.values()) == {"not tested"}
    assert "the ConvNet in place of ResNet-32, 8 epochs in place of 10" in ledger[0].found.because
    assert plans.departure(asked("settings")) == ""


@pytest.mark.parametrize(
    ("profile", "convnet", "sweep"),
    [
        ("quick", "14 epochs in place of 80, batch size 128 in place of 32", "the ConvNet in place of ResNet-32"),
        (
            "smoke",
            "the data set sample in place of cifar10, 3 epochs in place of 80",
            "the data set sample in place of cifar10, the ConvNet in place of ResNet-32, factor 0.1 in place of 0.01",
        ),
    ],
)
def test_headlines_of_a_profile_that_departs_say_in_what(profile, convnet, sweep):
    sentence = " The original's figures are not tested by this profile ({}, "
    assert plans.caveat(asked("convnet", profile), "convnet").startswith(sentence.format(convnet))
    for name in ("beta_sweep", "data_wrangling", "settings", "ablations"):
        assert plans.caveat(asked(name, profile)).startswith(sentence.format(sweep))


def test_the_exact_profile_departs_in_nothing():
    assert plans.caveat(asked("convnet"), "convnet") == ""
    assert [plans.caveat(asked(name)) for name in ("beta_sweep", "data_wrangling", "settings", "ablations")] == [""] * 4


def test_readings_change_one_thing_each():
    convnet = asked("convnet")
    settings = asked("settings")
    found = plans.readings(replace(settings, values={**settings.values, "readings": list(plans.READINGS)}), convnet)
    assert set(found) == set(plans.READINGS)
    base = found["as stated"]
    assert base == convnet.experiment(model="ConvNet")
    assert found["steps at 60 and 80 % of the epochs"].steps == (48, 64)
    for name, experiment in found.items():
        changed = {k for k, v in experiment.model_dump().items() if v != getattr(base, k)}
        assert len(changed) == (0 if name == "as stated" else 2 if name == "batch 128, rate 0.04" else 1), name


@pytest.mark.parametrize("profile", PROFILES)
def test_every_profile_has_valid_plans(profile):
    settings, ablations = asked("settings", profile), asked("ablations", profile)
    for wanted in (
        plans.beta_sweep(asked("beta_sweep", profile), COUNTS),
        plans.closing_table(settings),
        plans.readings(settings, asked("convnet", profile)),
        plans.by_gamma(ablations),
        plans.forms(ablations),
        plans.both_losses(ablations, "subset_seeds"),
    ):
        assert len(wanted) == len({str(name) for name in wanted}) > 0


def test_the_ledger_of_an_empty_store_finds_nothing(tmp_path):
    from lib.analysis import claims, original

    evidence = plans.evidence("writeup", COUNTS, original.figures())
    verdicts = {row.claim.number: row.found.verdict for row in claims.ledger(evidence)}
    assert verdicts.pop(6) == "contradicted"  # needs no runs
    assert set(verdicts.values()) == {"undecided"}


@pytest.fixture
def looked_at(monkeypatch):
    """The experiments that are asked of a store, which is empty."""
    asked_for = []

    def stored(self, settings, seeds):
        asked_for.extend(settings.values())
        return {name: {} for name in settings}

    monkeypatch.setattr(Notebook, "stored", stored)
    return asked_for


def test_the_claims_look_at_runs_on_the_whole_training_set(looked_at, monkeypatch):
    """The split that only chooses beta is among the sweep's parameters, and not among the ledger's runs."""
    from lib.analysis import original

    swept = asked("beta_sweep")
    monkeypatch.setitem(swept.values, "validation", 0.1)
    monkeypatch.setattr(plans, "asked_by", lambda name, *_: swept if name == "beta_sweep" else asked(name))
    plans.evidence("writeup", COUNTS, original.figures())
    assert looked_at
    assert {experiment.validation for experiment in looked_at} == {0}


def stored(folder, few, *seeds):
    store = Store(folder)
    for seed in seeds:
        record, weights = run(small(seed=seed), few())
        store.put(record, weights)
    return store


def here(store, **values):
    return Notebook(headless=True, origin="a test", values=values, store=store)


def test_what_is_published_is_loaded_and_the_rest_left_out(few, one_thread):
    stored(paths.PUBLISHED / "mine" / "runs", few, 0)
    stored(paths.RUNS, few, 1)
    store = opened("mine", "published")
    assert store.tensors(small(seed=0), "best")
    assert [r.experiment.seed for r in store.records()] in ([0, 1], [1, 0])
    assert store.file(small(seed=2).key) is None
    found = here(store, runs="published").grid({"a": small(), "b": small(epochs=3)}, seeds=[0, 1, 2])
    assert {name: sorted(runs) for name, runs in found.items()} == {"a": [0, 1], "b": []}
    assert not (paths.RUNS / small(seed=0).key).exists()  # read where it is
    assert opened("mine", "train").get(small(seed=0)) is None


def test_the_writeup_departs_from_nothing_and_every_stated_setting_counts():
    names = ("convnet", "data_wrangling", "beta_sweep", "settings", "ablations")
    assert {plans.departure(asked(name), "convnet" if name == "convnet" else "beta_sweep") for name in names} == {""}
    convnet = asked("convnet")
    convnet.values |= {"learning_rate": 0.0001, "epochs": 14, "seed": 3}
    said = "not tested by this profile (14 epochs in place of 80, learning rate 0.0001 in place of 0.01)"
    assert plans.caveat(convnet, "convnet") == f" The original's figures are {said}."
    assert " more)" in plans.departure(asked("convnet", "quick"), "convnet")


def test_a_shortened_convnet_tests_no_claim_of_the_convnet(looked_at, monkeypatch):
    from lib.analysis import original

    convnet = asked("convnet")
    convnet.values["epochs"] = 14
    monkeypatch.setattr(plans, "asked_by", lambda name, *_: convnet if name == "convnet" else asked(name))
    assert plans.evidence("writeup", COUNTS, original.figures()).convnet == {}
    assert looked_at
    assert not [e for e in looked_at if e.epochs == 14]


def test_a_person_finds_the_runs_that_the_repository_keeps_for_any_profile(few, monkeypatch, capsys):
    stored(paths.PUBLISHED / "mine" / "runs", few, 0)
    monkeypatch.setattr(session.sweep, "_train", lambda *_: pytest.fail("trained again"))
    store = opened("quick", "train", kept=True)
    notebook = Notebook(headless=False, origin="a test", values={"runs": "train"}, store=store)
    assert [*notebook.grid({"a": small()}, seeds=[0])["a"]] == [0]
    assert "Runs that were loaded, not trained, as the repository keeps them: 1." in capsys.readouterr().out
    assert not paths.RUNS.exists() or not [*paths.RUNS.glob("*/record.json")]


def test_a_run_that_is_missing_where_nothing_is_trained_is_named(capsys):
    found = here(Store(), runs="published").grid({"TwoLayerNet": small()}, seeds=[5])
    assert found == {"TwoLayerNet": {}}
    assert "Not run yet,** by setting and runs that are there: TwoLayerNet (none of 1)." in capsys.readouterr().out


def test_where_runs_are_trained_the_grid_is_full(few, one_thread, monkeypatch):
    monkeypatch.setattr(session.sweep.device, "cores", lambda: 1)  # one after the other, in this process
    found = here(Store(), runs="train").grid({"a": small(epochs=1)}, seeds=[0, 1])
    assert {seed: record.experiment.seed for seed, record in found["a"].items()} == {0: 0, 1: 1}


def test_every_kept_run_of_a_setting_counts_where_nothing_is_trained(few):
    store = stored(paths.PUBLISHED / "mine" / "runs", few, 0, 7)
    assert sorted(store.by_seed(small(seed=3))) == [0, 7]
    assert store.by_seed(small(epochs=5)) == {}
    assert sorted(here(store, runs="published").stored({"a": small()}, [0])["a"]) == [0, 7]
    assert sorted(here(store, runs="train").stored({"a": small()}, [0])["a"]) == [0]


def test_a_setting_without_any_run_is_said(few):
    with pytest.raises(UserError, match="Not run yet: TwoLayerNet CE seed 0"):
        here(Store(), runs="published").repeated(small(), seeds=[0, 1])
