"""The benchmark: ratios of one moment, bars, what is kept, and the README's tables."""

import nbformat
import numpy as np
import pandas as pd
import pytest
import torch
from scipy import stats

from benchmarks import bars, contenders, measure, report, summary
from benchmarks.loops import Task, Whole
from lib.notebook import parameters
from lib.system.errors import UserError
from longtail_writeup.report.document import Execution

TASK = Task("TwoLayerNet", batch_size=16, dataset="sample")


def test_flops_are_those_counted_by_hand():
    first = 30**2 * 32 * 27  # has no gradient to hand on to the images
    others = 13**2 * 64 * 288 + 4**2 * 128 * 576 + 512 * 256 + 256 * 128 + 128 * 64 + 64 * 10
    assert measure.flops_per_image("ConvNet") == 2 * (2 * first + 3 * others)


def test_a_rate_is_operations_by_seconds(monkeypatch):
    monkeypatch.setattr(measure, "_shortest", lambda call, on: 0.5)
    assert measure.matrix_product_rate("float32", torch.device("cpu")) == 2 * 2048**3 / 0.5


def turns(**speeds):
    """Measurements of contenders with a speed per turn, with a cold start before."""
    rows = [(name, 0, 0, 2.0, 0.0) for name in speeds]
    rows += [(name, k, 100, 100 / v, v) for name, vs in speeds.items() for k, v in enumerate(vs, start=1)]
    return pd.DataFrame(rows, columns=["contender", "repeat", "images", "seconds", "images_per_second"])


def test_a_ratio_is_taken_turn_by_turn():
    frame = turns(plain=[100, 10, 100], fast=[300, 30, 200])  # the machine was slow in the second turn
    assert summary.ratios(frame, "fast", "plain").tolist() == pytest.approx([3, 3, 2])
    table = summary.comparison(frame, base="plain")
    assert table.loc["fast", "× plain"] == "3.00 [2.00, 3.00]"
    assert table.loc["plain", "cold start (s)"] == "2.0"


def accuracy(**values):
    return pd.DataFrame(
        [(name.replace("_", " "), seed, v) for name, vs in values.items() for seed, v in enumerate(vs)],
        columns=["contender", "seed", "accuracy"],
    )


def test_the_gate_names_a_loop_that_pays_for_its_speed():
    even = accuracy(plain_loop=[0.50, 0.51, 0.52], fast=[0.51, 0.50, 0.52])
    assert "no loop's accuracy can be told" in summary.gate({"m": even})
    low = stats.ttest_ind([0.51, 0.50, 0.52], [0.50, 0.51, 0.52], equal_var=False).confidence_interval().low
    assert f"down to {100 * low:+.1f} points: 3 seeds cannot exclude" in summary.gate({"m": even})
    worse = accuracy(plain_loop=[0.50, 0.51, 0.52], fast=[0.30, 0.31, 0.32])
    assert "fast -20.0 points" in summary.gate({"m": worse})
    same = accuracy(plain_loop=[0.5, 0.5], fast=[0.5, 0.5], slow=[0.4, 0.4])
    assert "accuracy: slow -10.0 points (" in summary.gate({"m": same})
    assert "says nothing" in summary.gate({"m": accuracy(plain_loop=[0.5], fast=[0.1])})


def test_shares_of_an_epoch():
    frame = pd.DataFrame({"bare": [0.9e-3], "epoch": [1e-3], "evaluation": [2.0]})
    data, evaluation = summary.epoch_shares(frame, images=8000)  # 8 s of training, of which 7.2 s are steps
    assert data.item() == pytest.approx(0.1)
    assert evaluation.item() == pytest.approx(2 / 10)


def epochs(**accuracies):
    """Runs of epochs of 2 s each, by their accuracies; a run is named a seed after a letter."""
    rows = [(name, int(name[1:]), 1, n, 80, 40.0, v) for name, vs in accuracies.items() for n, v in enumerate(vs, 1)]
    columns = ["run", "seed", "threads", "epoch", "images", "images_per_second", "test_accuracy"]
    return pd.DataFrame(rows, columns=columns)


def test_the_time_to_an_accuracy_is_that_of_training_alone():
    frame = epochs(a0=[0.0, 0.5, 1.0], a1=[0.1, 0.2, 0.3])
    assert summary.seconds_to(frame, 0.5)[0] == pytest.approx(4)
    assert summary.seconds_to(frame, 1.0)[0] == pytest.approx(6)
    assert np.isnan(summary.seconds_to(frame, 0.5)[1])
    table = summary.reached(frame, 0.5)
    assert table["seconds of training"].tolist() == ["4", "not reached"]
    assert table["last epoch (%)"].tolist() == ["100.0", "30.0"]


def test_runs_are_trained_afresh_each_time(tmp_path):
    experiment = TASK.experiment(epochs=1)
    frame = measure.reached([experiment], tmp_path, "a test")
    record = tmp_path / "runs" / experiment.key / "record.json"
    before = record.stat().st_mtime_ns
    assert frame[["run", "epoch", "images"]].to_numpy().tolist() == [[experiment.key, 1, len(Whole(TASK).images)]]
    measure.reached([experiment], tmp_path, "a test")
    assert record.stat().st_mtime_ns > before


EVERYTHING = {"device": "cpu: one", "cores": 2, "precision": "bfloat16"}


def measured(speed, bare=0.99, evaluation=1.0, seconds=0.01, peak=5e8, reached=(0.9, 0.9), machine=EVERYTHING):
    names = {"plain": contenders.PLAIN, "f32": contenders.FLOAT32, "one": contenders.ONE_RUN}
    names["sweep"] = contenders.SIDE_BY_SIDE
    frame = turns(**{names[key]: [value] for key, value in speed.items()})
    parts = pd.DataFrame({"bare": [bare * 1e-2], "epoch": [1e-2], "evaluation": [evaluation]})
    waited = [measure.HELP, measure.IMPORT, measure.DATA, measure.REPORT]
    return bars.Measured(
        conditions=pd.DataFrame(machine.items(), columns=["what", "value"]),
        speed=dict.fromkeys(("ConvNet", "ResNet-32"), frame),
        shares=dict.fromkeys(("ConvNet", "ResNet-32"), parts),
        start=pd.DataFrame({"what": waited, "seconds": seconds}),
        memory=pd.DataFrame({"worker": [1], "peak": [peak]}),
        reached=epochs(**{f"a{seed}": [value] for seed, value in enumerate(reached)}) if reached else None,
    )


def test_every_bar_can_be_reached_and_missed():
    good = measured({"plain": 100, "f32": 200, "one": 400, "sweep": 500})
    slow = {"plain": 100, "f32": 90, "one": 80, "sweep": 70}
    bad = measured(slow, bare=0.5, evaluation=500, seconds=9, peak=9e9, reached=[0.9, 0.1, 0.1])
    assert set(bars.table(good)[""]) == {"reached"}
    assert set(bars.table(bad)[""]) == {"missed", "missed (a known limit)"}


def test_a_bar_says_when_it_was_not_measured_and_when_the_machine_is_another():
    fine = {"plain": 100, "f32": 200, "one": 110, "sweep": 500}
    table = bars.table(measured(fine, reached=None, machine=EVERYTHING | {"precision": "float32"}))
    assert table.loc["ConvNet, runs that reach it"].tolist() == ["≥ 100 %", "–", "not measured"]
    assert table.loc["ConvNet, one run beside the plain loop", ""] == "not for this machine (needs bfloat16)"
    assert table.loc["ResNet-32, one run in float32 beside it", ""] == "reached"
    on_gpu = bars.table(measured(fine, machine=EVERYTHING | {"device": "cuda: one"}))
    assert on_gpu.loc["ResNet-32, one run in float32 beside it", ""] == "not for this machine (needs cpu)"


def test_the_conditions_name_the_machine_and_the_versions(monkeypatch):
    monkeypatch.setattr(measure, "version", lambda name: "1.0")  # the peers are not needed for tests
    here = dict(measure.conditions().to_numpy())
    assert {"device", "cores", "threads", "precision", "torch", "lib", "pytorch-lightning"} <= set(here)


def test_the_check_fails_for_a_missed_bar_and_not_for_a_known_limit(monkeypatch, capsys):
    fine = {"plain": 100, "f32": 200, "one": 400, "sweep": 500}
    monkeypatch.setattr(bars, "check_installed", lambda: None)  # the peers are not needed for tests
    monkeypatch.setattr(bars, "take", lambda **_: measured(fine, evaluation=15))  # 11 % of the short epoch only
    bars.check()
    assert "missed (a known limit)" in capsys.readouterr().out
    monkeypatch.setattr(bars, "take", lambda **_: measured(fine | {"one": 110}))
    with pytest.raises(SystemExit, match="ConvNet, one run beside the plain loop"):
        bars.check()


def test_every_measurement_is_saved_and_loaded(tmp_path):
    frames = {"ConvNet": turns(plain=[1.0, 2.0]), "ResNet-32": turns(plain=[3.0])}
    measure.save(tmp_path, "speed", frames)
    back = measure.load(tmp_path, "speed")
    assert list(back["ConvNet"].images_per_second) == [0.0, 1.0, 2.0]
    assert list(back["ResNet-32"].images_per_second) == [0.0, 3.0]
    measure.save(tmp_path, "memory", pd.DataFrame({"worker": [1], "peak": [5]}))
    assert measure.load(tmp_path, "memory")[""].peak.tolist() == [5]


def test_start_up_times_what_it_names(tmp_path, monkeypatch):
    monkeypatch.setattr(measure.paths, "PUBLISHED", tmp_path)  # no notebooks to write a report from
    frame = measure.start_up("sample", repeats=1)
    assert set(frame.what) == {measure.HELP, measure.TORCH, measure.IMPORT, measure.DATA}
    seconds = frame.set_index("what").seconds
    assert 0 < seconds[measure.HELP] < seconds[measure.IMPORT]


def test_growth_has_a_frame_for_each_thing_that_grows():
    frames = measure.growth(TASK, [16, 32], [40, 48], cores=1, threads=1, precision="float32", images=32, repeats=1)
    assert {name: frame[name].tolist() for name, frame in frames.items()} == {
        "batch_size": [16, 32],
        "workers": [1],
        "images": [40, 48],
    }
    assert all((frame.images_per_second > 0).all() for frame in frames.values())


def test_the_readme_shows_the_kept_measurements():
    text = report.README.read_text()
    assert report.block() in text, "run: python -m benchmarks table"
    assert not [column for column in measure.load(report.RESULTS, "growth").popitem()[1] if "replica" in column]


def test_the_parameter_files_are_valid_and_quick_is_the_default():
    files = sorted(report.HERE.glob("params/*.yaml"))
    assert [file.stem for file in files] == ["quick", "smoke"]
    values = {file.stem: parameters.read(file, report.NOTEBOOK) for file in files}
    assert all(given["profile"] == name for name, given in values.items())
    declared = parameters.declared(report.NOTEBOOK)
    assert values["quick"] == {name: parameter.default for name, parameter in declared.items()}
    assert all(parameter.meaning for parameter in declared.values())


def test_an_unknown_profile_is_named():
    with pytest.raises(UserError, match=r"'huge'.*quick, smoke"):
        report.run("huge")


@pytest.mark.parametrize("failure", ["its kernel died.", KeyboardInterrupt()])
def test_the_last_measurements_stay_until_there_are_new_ones(tmp_path, monkeypatch, failure):
    monkeypatch.setattr(report.paths, "OUTPUTS", tmp_path)
    monkeypatch.setattr(report.contenders, "check_installed", lambda: None)
    kept = report.folder("smoke") / "speed.csv"
    kept.parent.mkdir(parents=True)
    kept.write_text("measured")

    def execute(notebook, values, output, label):
        assert not kept.exists()  # measurements of two runs do not belong together
        output.parent.mkdir()
        output.write_text("as far as it went")
        kept.write_text("half")
        if isinstance(failure, KeyboardInterrupt):
            raise failure
        return Execution("benchmark", output, 1.0, failure, 1)

    monkeypatch.setattr(report.runner, "execute", execute)
    with pytest.raises((UserError, KeyboardInterrupt)):
        report.run("smoke")
    assert kept.read_text() == "measured"
    assert [path.name for path in kept.parent.iterdir()] == ["speed.csv"]
    log = report.folder("smoke").with_name("smoke-failed.ipynb")
    assert log.read_text() == "as far as it went"


def test_the_notebook_is_stored_without_outputs_and_in_short_cells():
    cells = [cell for cell in nbformat.read(report.NOTEBOOK, 4).cells if cell.cell_type == "code"]
    assert not [cell for cell in cells if cell.outputs or cell.execution_count]
    assert max(len(cell.source.splitlines()) for cell in cells) <= 25


def test_peers_that_are_not_installed_are_asked_for(monkeypatch):
    monkeypatch.setattr(contenders.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"make \.venv/peers"):
        contenders.check_installed()
