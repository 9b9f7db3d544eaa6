"""A plan: a profile's files read once, with every departure from the write-up and the origin of each value."""

import shutil

import pytest

from lib.notebook import parameters as planning
from lib.notebook.parameters import NOTEBOOKS, VARIABLE, Plan
from lib.system import paths
from lib.system.errors import UserError


@pytest.fixture
def mine(tmp_path, monkeypatch):
    shutil.copytree(paths.PARAMS, tmp_path / "params", ignore=shutil.ignore_patterns("mine"))  # a person's own
    shutil.copytree(tmp_path / "params" / "quick", tmp_path / "params" / "mine")
    monkeypatch.setattr(paths, "PARAMS", tmp_path / "params")
    monkeypatch.setattr(paths, "OUTPUTS", tmp_path / "outputs")
    return tmp_path / "params" / "mine"


def test_a_plan_is_complete_and_a_copied_folder_is_a_profile_of_its_own(mine):
    plan = Plan.of("mine")
    assert tuple(plan.values) == NOTEBOOKS
    assert {values["profile"] for values in plan.values.values()} == {"mine"}
    assert plan.values["convnet"]["warmup"] == 0  # the notebook's default, which the file may leave out


def test_a_profile_has_the_chapters_that_it_has_files_for(mine):
    (mine / "settings.yaml").unlink()
    assert [*Plan.of("mine").values] == [name for name in NOTEBOOKS if name != "settings"]
    (mine / "setings.yaml").write_text("")
    with pytest.raises(UserError, match=r"setings\.yaml is for no notebook of the report; there are convnet, data"):
        Plan.of("mine")
    for file in mine.glob("*.yaml"):
        file.unlink()
    with pytest.raises(UserError, match=r"mine has no parameter file, such as convnet\.yaml"):
        Plan.of("mine")


def test_the_methods_depart_from_the_fields_protocol_and_all_else_from_the_write_up(mine):
    assert Plan.of("field").departures == []
    found = {each["name"]: each for each in Plan.of("quick").departures if "methods" in each["notebooks"]}
    assert found["retrain_epochs"]["exact"] == 30
    assert not {"steps", "decay", "warmup", "precision", "evaluate_every"} & found.keys()  # unused, or of no effect
    assert (found["batch_size"]["exact"], found["batch_size"]["here"]) == (128, 32)
    assert found["batch_size"]["notebooks"] == ["methods"]  # the write-up has 32


def test_the_write_up_departs_from_nothing_and_a_change_departs_in_every_notebook_that_takes_it(mine):
    assert Plan.of("writeup").departures == []
    plan = Plan.of("writeup", {"momentum": 0.8, "repeats": 1, "gammas": [[0.9, 1.0]]})
    (departure,) = plan.departures  # fewer seeds and fewer comparisons are none
    assert [departure[part] for part in ("name", "exact", "here")] == ["momentum", 0.9, 0.8]
    assert departure["notebooks"] == [name for name in plan.values if "momentum" in plan.values[name]]


def test_an_origin_is_the_file_and_every_difference_from_it(mine):
    values = Plan.of("mine", {"momentum": 0.8, "scheduler": "tcp://x:1"}).values["beta_sweep"]
    assert planning.origin("mine", "beta_sweep", values).endswith("mine/beta_sweep.yaml with momentum=0.8")
    assert planning.origin("elsewhere", "beta_sweep", values) == "notebooks/beta_sweep.ipynb"


def test_a_kernel_reads_the_plan_and_no_parameter_file(mine, monkeypatch):
    plan = Plan.of("mine", {"momentum": 0.8})
    plan.save(planning.file_of("mine"))
    assert Plan.load(planning.file_of("mine")) == plan
    shutil.rmtree(mine)
    monkeypatch.setenv(VARIABLE, str(planning.file_of("mine")))
    assert planning.origin("mine", "beta_sweep", plan.values["beta_sweep"]).endswith("with momentum=0.8")
    assert planning.executed("mine", "convnet") == plan.values["convnet"]


def test_a_plan_of_another_version_is_completed_or_left_aside(mine):
    plan, file = Plan.of("mine", {"momentum": 0.8}), planning.file_of("mine")
    old = {key: value for key, value in plan.values["convnet"].items() if key != "warmup"} | {"gone": 1}
    plan.model_copy(update={"values": {"convnet": old}}).save(file)
    assert planning.executed("mine", "convnet") == plan.values["convnet"]
    for damage in ("", '{"profile": "mine"}', file.read_text()[:99]):
        file.write_text(damage)
        assert planning.executed("mine", "convnet") == Plan.of("mine").values["convnet"]


@pytest.mark.parametrize(
    ("profile", "changes", "said"),
    [
        ("nowhere", {}, "no profile 'nowhere'; known profiles: field, mine, quick"),
        ("mine", {"momentun": 1}, "No notebook has a parameter 'momentun'"),
        ("mine", {"momentum": "much"}, "the command line: momentum has to be a number"),
        ("mine", {"profile": "quick"}, "The profile is chosen by --profile"),
        (
            "mine",
            {"methods": ["CE", "LDMA"]},
            "the command line: no method 'LDMA' is trained; known ones: 'CE'",
        ),
        ("mine", {"shorter": 8}, "the command line: the method CE-DRW with every number of epochs divided by 8"),
        ("mine", {"methods": ["LDAM"]}, "the command line: methods has to have 'CE' too"),
        ("mine", {"readings": ["upside down"]}, "the command line: there is no reading 'upside down'; known ones: as"),
        ("mine", {"nesterov": True, "momentum": 0}, "the command line: .*nesterov needs a momentum above 0"),
    ],
)
def test_a_wrong_plan_is_an_error_that_says_what_is_allowed(mine, profile, changes, said):
    with pytest.raises(UserError, match=said):
        Plan.of(profile, changes)
