"""The runs that notebooks ask for, and those of them that are stored."""

import pytest
from conftest import run, small

from lib.analysis.claims import Setting
from lib.analysis.findings import neutral_betas
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
    assert experiment.validation == 0.1
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
    by_gamma, by_sum = (plans.by(asked("ablations"), "gamma_betas", others) for others in ("gammas", "normalisations"))
    assert swept[0.99].key == by_gamma[0.99, 1.0].key == by_sum[0.99, "count"].key
    assert by_sum[0.99, "weights"].key != swept[0.99].key
    assert plans.by(asked("ablations"), "losses", "batch_sizes")["focal", 32].key == swept[0.8].key


def test_readings_change_one_thing_each():
    convnet = asked("convnet")
    found = plans.readings(asked("settings"), convnet)
    assert set(found) == set(plans.READINGS)
    base = found["as stated"]
    assert base == convnet.experiment(model="ConvNet")
    assert found["steps at 60 and 80 % of the epochs"].steps == (48, 64)
    for name, experiment in found.items():
        changed = {k for k, v in experiment.model_dump().items() if v != getattr(base, k)}
        assert len(changed) == (name != "as stated"), name


@pytest.mark.parametrize("profile", PROFILES)
def test_every_profile_has_valid_plans(profile):
    settings, ablations = asked("settings", profile), asked("ablations", profile)
    for wanted in (
        plans.beta_sweep(asked("beta_sweep", profile), COUNTS),
        plans.closing_table(settings),
        plans.readings(settings, asked("convnet", profile)),
        plans.by(ablations, "gamma_betas", "gammas"),
        plans.by(ablations, "gamma_betas", "normalisations"),
        plans.by(ablations, "losses", "batch_sizes"),
        plans.both_losses(ablations, "subset_seeds"),
    ):
        assert len(wanted) == len({str(name) for name in wanted}) > 0


def test_the_ledger_of_an_empty_store_finds_nothing(tmp_path):
    from lib.analysis import claims, original

    evidence = plans.evidence("writeup", COUNTS, original.figures())
    verdicts = {claim.number: found.verdict for claim, found in claims.ledger(evidence)}
    assert verdicts.pop(6) == "contradicted"  # needs no runs
    assert set(verdicts.values()) == {"undecided"}


def test_the_claims_look_at_runs_on_the_whole_training_set(monkeypatch):
    """The split that only chooses beta is among the sweep's parameters, and not among the ledger's runs."""
    from lib.analysis import original

    looked_at = []

    def stored(self, settings, seeds):
        looked_at.extend(settings.values())
        return {name: {} for name in settings}

    monkeypatch.setattr(Notebook, "stored", stored)
    plans.evidence("writeup", COUNTS, original.figures())
    assert asked("beta_sweep").values["validation"] > 0
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


def test_a_run_that_is_missing_where_nothing_is_trained_is_named(capsys):
    found = here(Store(), runs="published").grid({"TwoLayerNet": small()}, seeds=[5])
    assert found == {"TwoLayerNet": {}}
    assert "Not run yet,** by setting and runs that are there: TwoLayerNet (none of 1)." in capsys.readouterr().out


def test_where_runs_are_trained_the_grid_is_full(few, one_thread, monkeypatch):
    monkeypatch.setattr(session.sweep.device, "cores", lambda: 1)  # one after the other, in this process
    found = here(Store(), runs="train").grid({"a": small(epochs=1)}, seeds=[0, 1])
    assert {seed: record.experiment.seed for seed, record in found["a"].items()} == {0: 0, 1: 1}


def test_shared_seeds_leave_out_what_is_too_thin():
    runs = {"CE": {0: None, 1: None, 2: None}, 0.8: {0: None, 1: None}, 0.999: {0: None}}
    assert plans.common_seeds(runs, least=2) == ([0, 1], ["CE", 0.8])
    runs |= {0.9: {0: None, 1: None, 2: None}}  # three seeds are enough, and two are not
    assert plans.common_seeds(runs, least=2) == ([0, 1, 2], ["CE", 0.9])
    for lacking in ({"CE": {}, 0.8: {0: None}}, {"CE": {0: None}}, {"CE": {0: None}, 0.8: {1: None}}):
        with pytest.raises(UserError, match="Not run yet: cross-entropy and a beta from 1 seeds that they share"):
            plans.common_seeds(lacking, least=1)


def test_a_setting_without_any_run_is_said(few):
    with pytest.raises(UserError, match="Not run yet: TwoLayerNet CE seed 0"):
        here(Store(), runs="published").repeated(small(), seeds=[0, 1])


def test_a_sweep_shows_every_beta_that_has_three_seeds_from_the_seeds_that_all_share():
    def of(*seeds):
        return dict.fromkeys(seeds, "record")

    runs = {plans.CE: of(0, 1, 2, 3, 4), 0.8: of(0, 1, 2, 3, 4), 0.9999: of(0, 1, 2), 0.99999: of(0)}
    assert plans.common_seeds(runs, least=2) == ([0, 1, 2], [plans.CE, 0.8, 0.9999])
    few = {plans.CE: of(0), 0.8: of(0), 0.9: of()}
    assert plans.common_seeds(few, least=1) == ([0], [plans.CE, 0.8])
    apart = {plans.CE: of(0, 1, 2, 3, 4, 5), 0.8: of(0, 1, 2), 0.9: of(3, 4, 5)}
    assert plans.common_seeds(apart, least=2)[0] in ([0, 1, 2], [3, 4, 5], [0, 1, 2, 3, 4, 5])
