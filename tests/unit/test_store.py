"""The store: whole or not at all, damage found and said, nothing misread."""

import errno
import json
import os
import shutil

import pytest
import safetensors.torch
import torch
from conftest import run, small

from lib.experiment import Experiment
from lib.runs import index
from lib.runs import store as storing
from lib.runs.store import Store
from lib.system import files
from lib.system.errors import UserError

pytestmark = pytest.mark.usefixtures("one_thread")  # small steps are fastest on one thread, and repeatable


@pytest.fixture(scope="module")
def trained(few):
    return run(small(), few(), origin="params/x.yaml")


@pytest.fixture
def stored(store, trained):
    store.put(*trained)
    return store


def folders(store):
    return sorted(path.name for path in store.folder.iterdir())


def test_what_is_put_is_got_again_bit_for_bit(stored, trained):
    record, weights = trained
    assert stored.get(record.experiment) == record
    for which in ("best", "last"):
        again = stored.tensors(record.experiment, which)
        assert again.keys() == weights[which].keys()
        assert all(torch.equal(again[name], value) for name, value in weights[which].items())
    assert folders(stored) == [record.key]
    assert stored.get(small(seed=1)) is None


def test_weights_are_stored_as_safetensors_and_nothing_else(stored, trained):
    files = {path.name for path in stored.path(trained[0].experiment).iterdir()}
    assert files == {"record.json", "best.safetensors", "last.safetensors", "output.safetensors", "logits.safetensors"}


def test_logits_are_read_by_their_name(stored, trained):
    assert torch.equal(stored.tensors(trained[0].experiment, "logits")["test"], trained[1]["logits"]["test"])


def test_storing_a_run_again_leaves_the_first_and_ends_its_checkpoint(stored, trained):
    record, weights = trained
    checkpoint = stored.checkpoint(record.experiment)
    checkpoint.parent.mkdir()
    checkpoint.write_bytes(b"")
    stored.put(record.model_copy(update={"origin": "another"}), weights)
    assert stored.get(record.experiment) == record  # one experiment has the same numbers each time
    assert folders(stored) == [record.key, "unfinished"]
    assert not checkpoint.exists()


@pytest.fixture(params=["weights", "record"])
def full(request, monkeypatch):
    """A disk that is full when the weights, or the record, are written."""

    def refuse(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    place = (storing.Path, "write_bytes") if request.param == "weights" else (storing.files, "write")
    return lambda: monkeypatch.setattr(*place, refuse)


def test_a_full_disk_is_said_and_leaves_nothing_behind(store, trained, full):
    full()
    with pytest.raises(UserError, match=r"could not be stored in .*No space.*Make room"):
        store.put(*trained)
    assert folders(store) == []


def test_a_full_disk_leaves_the_earlier_record(stored, trained, full):
    full()
    with pytest.raises(UserError):
        stored.put(*trained)
    assert stored.get(trained[0].experiment) == trained[0]


def test_a_folder_that_cannot_be_made_is_said(tmp_path, trained):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="could not be stored"):
        Store(tmp_path / "file").put(*trained)


def flip(text):
    return text.replace('"train_accuracy": 0.', '"train_accuracy": 1.', 1)


@pytest.mark.parametrize(
    "damage", [flip, lambda t: t[: len(t) // 2], lambda t: "", lambda t: "[]", lambda t: "\udce4" + t]
)
def test_a_damaged_record_is_set_aside_and_said(stored, trained, capsys, damage):
    experiment = trained[0].experiment
    file = stored.path(experiment) / "record.json"
    damaged = damage(file.read_text())
    file.write_text(damaged, errors="surrogateescape")
    assert stored.get(experiment) is None
    said = capsys.readouterr().err
    assert f"Run {experiment.key} cannot be read" in said
    assert f"set aside as unreadable-{experiment.key}-1" in said
    assert folders(stored) == [f"unreadable-{experiment.key}-1"]


def test_a_damaged_record_that_another_program_has_just_set_aside_is_missing(stored, trained, monkeypatch, capsys):
    folder = stored.path(trained[0].experiment)
    (folder / "record.json").write_text("{")
    replace = storing.os.replace

    def overtaken(source, target):
        replace(source, target)
        raise FileNotFoundError(source)

    monkeypatch.setattr(storing.os, "replace", overtaken)
    assert stored.get(trained[0].experiment) is None
    assert capsys.readouterr().err == ""  # the other one has said it


def test_what_a_killed_program_left_is_removed_and_what_a_living_one_writes_is_not(stored, trained):
    key = trained[0].key
    unfinished = stored.folder / "unfinished"
    unfinished.mkdir()
    left = [f"{key}.safetensors", f"{key}.safetensors.7.tmp", f"{key}.lock", "0123456789abcdef.safetensors.7.tmp"]
    kept = ["0123456789abcdef.safetensors", "fedcba9876543210.safetensors.8.tmp"]
    for name in left + kept:
        (unfinished / name).write_bytes(b"half")
    for name in (".tmp-dead", ".tmp-alive"):
        (stored.folder / name).mkdir()
        (stored.folder / name / "best.safetensors").write_bytes(b"half")
    trains = files.lock(unfinished / "fedcba9876543210.lock")
    writes = files.lock(stored.folder / ".tmp-alive.lock")
    stored.tidy()
    assert sorted(path.name for path in unfinished.iterdir()) == sorted([*kept, "fedcba9876543210.lock"])
    assert folders(stored) == [".tmp-alive", ".tmp-alive.lock", key, "unfinished"]
    for own in (trains, writes):
        files.unlock(own)
    stored.tidy()
    assert [path.name for path in unfinished.iterdir()] == ["0123456789abcdef.safetensors"]
    assert folders(stored) == [key, "unfinished"]


def test_what_is_set_aside_stays_and_is_not_looked_at_again(stored, trained, capsys):
    experiment = trained[0].experiment
    for _ in range(2):
        (stored.path(experiment) / "record.json").write_text("{}")
        stored.get(experiment)
        stored.put(*trained)
    capsys.readouterr()
    names = [experiment.key, *(f"unreadable-{experiment.key}-{n}" for n in (1, 2))]
    assert folders(stored) == sorted(names)
    assert stored.records() == [trained[0]]
    assert folders(stored) == sorted(names)
    assert capsys.readouterr().err == ""


def test_a_record_of_another_format_is_refused_and_kept(stored, trained, capsys):
    experiment = trained[0].experiment
    file = stored.path(experiment) / "record.json"
    content = {**json.loads(file.read_text()), "format": storing.FORMAT + 1}
    file.write_text(json.dumps(content))
    assert stored.get(experiment) is None
    assert f"format {storing.FORMAT + 1} where this version reads {storing.FORMAT}" in capsys.readouterr().err
    stored.put(*trained)  # trained anew; the other one is still there, with its weights
    aside = stored.folder / f"unreadable-{experiment.key}-1"
    assert json.loads((aside / "record.json").read_text()) == content
    assert (aside / "best.safetensors").exists()


def test_a_damaged_run_in_a_further_folder_is_skipped_and_stays(stored, trained, tmp_path, capsys):
    file = stored.path(trained[0].experiment) / "record.json"
    file.write_text(file.read_text()[:-9])
    store = Store(tmp_path / "first", stored.folder)
    assert store.get(trained[0].experiment) is None
    assert store.records() == []
    assert "skipped" in capsys.readouterr().err
    assert file.exists()


def test_a_record_under_the_key_of_another_run_is_not_taken_for_it(stored, trained, capsys):
    other = small(seed=7)
    stored.path(trained[0].experiment).rename(stored.path(other))
    assert stored.get(other) is None
    assert f"it is the record of {trained[0].key}" in capsys.readouterr().err


def test_a_record_whose_experiment_is_another_in_spite_of_its_key_is_not_returned(stored, trained, capsys):
    """The key leaves defaults out: were a default changed, old records would answer for new experiments."""
    experiment = trained[0].experiment
    changed = experiment.model_copy(update={"weight_decay": 0.1})
    stored.path(experiment).rename(stored.path(changed))
    file = stored.path(changed) / "record.json"
    whole = json.loads(file.read_text())
    whole["record"]["key"] = changed.key
    file.write_text(json.dumps({**whole, "sha256": storing._digest(whole["record"])}))
    assert stored.get(changed) is None
    weights = trained[1]
    stored.put(trained[0].model_copy(update={"experiment": changed, "key": changed.key}), weights)
    assert stored.get(changed).experiment == changed
    aside = stored.folder / f"unreadable-{changed.key}-1"  # a finished run, never deleted
    assert json.loads((aside / "record.json").read_text())["record"]["experiment"] != changed.model_dump(mode="json")
    assert "was another one; set aside" in capsys.readouterr().err


def test_a_stored_run_can_be_read_by_others(stored, trained):
    assert stored.path(trained[0].experiment).stat().st_mode & 0o055 == 0o055


@pytest.mark.parametrize("what", ["refused", "a folder", "a pipe", "a device", "deep", "long"])
def test_a_record_that_cannot_be_read_is_named_once_skipped_and_kept(stored, trained, monkeypatch, capsys, what):
    experiment, other = trained[0].experiment, run(small(seed=9), None)
    stored.put(*other)
    file = stored.path(experiment) / "record.json"
    file.unlink()
    if what == "refused":
        file.write_text("{}")
        regular = files.regular

        def refuse(path, most):
            if path == file:
                raise PermissionError(errno.EACCES, "Permission denied", str(path))
            return regular(path, most)

        monkeypatch.setattr(files, "regular", refuse)
    elif what == "a folder":
        file.mkdir()
    elif what == "a pipe":
        os.mkfifo(file)
    elif what == "a device":
        file.symlink_to("/dev/zero")
    elif what == "deep":
        file.write_text("[" * 100_000)
    else:
        with file.open("w") as stream:
            stream.truncate(10 * files.TEXT)
    assert stored.get(experiment) is None
    assert list(stored.frame()["key"]) == [other[0].key]
    assert stored.records() == [other[0]]
    said = capsys.readouterr().err
    assert said.count(f"Run {experiment.key} cannot be read") == 1
    if what != "deep":
        assert "skipped" in said
        stored.put(*trained)  # the folder that could not be read is set aside, not deleted
    assert len(list(stored.folder.glob(f"unreadable-{experiment.key}-*"))) == 1
    capsys.readouterr()


def flip_a_bit(tensors):
    content = safetensors.torch.save(tensors)
    return content[:-5] + bytes([content[-5] ^ 1]) + content[-4:]


def of_another_run(tensors):
    return safetensors.torch.save({name: value + 1 for name, value in tensors.items()})


@pytest.mark.parametrize("name", ["best", "last", "output", "logits"])
@pytest.mark.parametrize("changed", [flip_a_bit, of_another_run])
def test_tensors_that_are_not_those_that_were_stored_are_refused(stored, trained, name, changed):
    record, tensors = trained
    (stored.path(record.experiment) / f"{name}.safetensors").write_bytes(changed(tensors[name]))
    with pytest.raises(UserError, match=f"{name}.safetensors of run {record.key} is damaged .*checksum"):
        stored.tensors(record.experiment, name)


def unsealed(store, experiment):
    """The record as it was written before records kept the checksums of the tensors."""
    file = store.path(experiment) / "record.json"
    whole = json.loads(file.read_text())
    del whole["files"]
    file.write_text(json.dumps(whole))
    return file


def test_the_checksum_that_an_old_record_lacks_is_taken_at_first_sight_and_said(stored, trained, capsys):
    record, tensors = trained
    file, mode = unsealed(stored, record.experiment), stored.path(record.experiment).stat().st_mode
    assert stored.tensors(record.experiment, "best").keys() == tensors["best"].keys()
    assert f"Run {record.key} was stored without a checksum of its best.safetensors" in capsys.readouterr().err
    stored.tensors(record.experiment, "best")
    assert capsys.readouterr().err == ""
    assert stored.get(record.experiment) == record
    assert file.parent.stat().st_mode == mode
    file.with_name("best.safetensors").write_bytes(of_another_run(tensors["best"]))
    with pytest.raises(UserError, match=r"damaged .*checksum"):
        stored.tensors(record.experiment, "best")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda name, value: (name, value * torch.nan), "not finite"),
        (lambda name, value: (name, value[..., :-1].clone()), "not those of TwoLayerNet"),
        (lambda name, value: (f"{name}.x", value), "not those of TwoLayerNet"),
    ],
)
@pytest.mark.parametrize("which", ["last", "logits"])
def test_without_a_checksum_names_shapes_and_values_are_checked(stored, trained, which, change, reason):
    record, tensors = trained
    file = unsealed(stored, record.experiment)
    wrong = dict(change(name, value) for name, value in tensors[which].items())
    file.with_name(f"{which}.safetensors").write_bytes(safetensors.torch.save(wrong))
    with pytest.raises(UserError, match=f"damaged .*{reason}"):
        stored.tensors(record.experiment, which)


@pytest.mark.parametrize("what", ["pipe", "device", "folder"])
def test_tensors_are_read_from_regular_files_alone(stored, trained, what):
    file = stored.path(trained[0].experiment) / "best.safetensors"
    file.unlink()
    {"pipe": os.mkfifo, "device": lambda f: f.symlink_to("/dev/zero"), "folder": os.mkdir}[what](file)
    with pytest.raises(UserError, match=r"damaged .*not a regular file"):
        stored.tensors(trained[0].experiment, "best")


def test_all_files_of_a_run_have_the_mode_of_the_umask(store, trained):
    before = os.umask(0o027)
    try:
        store.put(*trained)
    finally:
        os.umask(before)
    modes = {path.name: path.stat().st_mode & 0o777 for path in store.path(trained[0].experiment).iterdir()}
    assert set(modes.values()) == {0o640}, modes
    assert store.path(trained[0].experiment).stat().st_mode & 0o777 == 0o750


def last(record, **changes):
    """The record's content with changes to its last epoch's test result."""
    content = record.model_dump(mode="json")
    content["history"][-1]["test"] |= changes
    return content


@pytest.mark.parametrize(
    "wrong",
    [
        lambda r: r.model_dump(mode="json") | {"history": []},
        lambda r: r.model_dump(mode="json") | {"history": r.model_dump(mode="json")["history"][:1]},
        lambda r: r.model_dump(mode="json") | {"history": r.model_dump(mode="json")["history"][::-1]},
        lambda r: last(r, confusion=[[1] * 10] * 9 + [[1] * 9]),
        lambda r: last(r, confusion=[[-1] * 10] * 10),
        lambda r: last(r, confusion=[[0] * 10] * 10),
        lambda r: last(r, confusion=[[1] * 9] * 9),
        lambda r: last(r, confusion=[]),
        lambda r: last(r, loss=-1.0),
        lambda r: last(r, loss="nan"),
        lambda r: last(r, calibration_error=1.5),
        lambda r: r.model_dump(mode="json") | {"counts": [0] * 10},
        lambda r: r.model_dump(mode="json") | {"counts": [1]},
        lambda r: r.model_dump(mode="json") | {"final_train_correct": [10**6] * 10},
        lambda r: r.model_dump(mode="json") | {"final_train_correct": []},
        lambda r: r.model_dump(mode="json") | {"finished": "yesterday"},
        lambda r: r.model_dump(mode="json") | {"wall_time": -1},
        lambda r: r.model_dump(mode="json") | {"numerics": 99},  # under the key of this version
    ],
)
def test_a_signed_record_without_a_meaning_is_refused(stored, trained, capsys, wrong):
    record = trained[0]
    file = stored.path(record.experiment) / "record.json"
    content = wrong(record)
    file.write_text(json.dumps({"format": storing.FORMAT, "sha256": storing._digest(content), "record": content}))
    assert stored.frame().empty
    assert stored.records() == []
    assert stored.get(record.experiment) is None
    assert f"Run {record.key} cannot be read" in capsys.readouterr().err


def test_text_of_a_record_is_one_line_that_no_terminal_obeys(trained):
    content = trained[0].model_dump() | {"origin": "a\x1b[31m\nb\u202e", "machine": {"device\n": "\x07cpu"}}
    record = type(trained[0]).model_validate(content)
    assert record.origin == "a [31m b"
    assert record.machine == {"device": "cpu"}


def test_missing_or_damaged_weights_are_said_with_the_remedy(stored, trained):
    experiment = trained[0].experiment
    file = stored.path(experiment) / "best.safetensors"
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(UserError, match=f"best.safetensors of run {experiment.key} is damaged .*remove .*again"):
        stored.tensors(experiment, "best")
    file.unlink()
    with pytest.raises(UserError, match=f"best.safetensors of run {experiment.key} is not stored; remove .*again"):
        stored.tensors(experiment, "best")


def test_the_frame_has_a_row_for_each_run_oldest_first(stored, trained):
    record, weights = trained
    experiment = small(seed=3)
    older = record.model_copy(update={"experiment": experiment, "key": experiment.key, "finished": "2001-01-01"})
    stored.put(older, weights)
    frame = stored.frame()
    assert frame.key.tolist() == [older.key, record.key]
    assert frame.seed.tolist() == [3, 0]
    assert frame.model.tolist() == ["TwoLayerNet"] * 2
    assert frame.best_accuracy.tolist() == [record.best.test.accuracy] * 2
    assert frame.last_accuracy.tolist() == [record.last.test.accuracy] * 2
    assert frame.origin.tolist() == ["params/x.yaml"] * 2


@pytest.fixture
def read(monkeypatch):
    """The keys of the records that are read from here on."""
    seen, original = [], storing._read_json

    def reading(file):
        seen.append(file.parent.name)
        return original(file)

    monkeypatch.setattr(storing, "_read_json", reading)
    return seen


def test_a_second_listing_reads_no_record(stored, read):
    first = stored.frame()  # the row was kept when the run was stored
    assert stored.frame().equals(first)
    assert read == []
    assert len(first) == 1


@pytest.mark.parametrize(
    "spoil",
    [
        lambda file: file.unlink(),
        lambda file: file.write_bytes(b"\xff no listing" * 99),
        lambda file: file.write_bytes(file.read_bytes()[:-9]),  # cut short by a kill
        lambda file: file.write_text('{"layout": 0}\n[]\n3'),
    ],
)
def test_a_lost_or_damaged_listing_is_made_again_once(stored, read, spoil):
    whole = stored.frame()
    spoil(index.file_of(stored.folder))
    assert stored.frame().equals(whole)
    assert stored.frame().equals(whole)
    assert len(read) == 1


def wider_row(record):
    return {**NARROW_ROW(record), "counts": record.counts}


NARROW_ROW = index.row


def test_a_changed_row_is_noticed_and_the_rows_are_read_again_once(stored, read, monkeypatch):
    assert "counts" not in stored.frame()
    monkeypatch.setattr(index, "row", wider_row)
    for _ in range(2):
        (counts,) = stored.frame().counts
    assert len(counts) == 10
    assert len(read) == 1


def test_a_new_field_of_an_experiment_is_noticed(stored, read, monkeypatch):
    class Wider(Experiment):
        dropout: float = 0.0

    monkeypatch.setattr(index, "Experiment", Wider)
    for _ in range(2):
        assert len(stored.frame()) == 1
    assert len(read) == 1


def test_a_record_that_changed_vanished_or_was_damaged_is_noticed(stored, trained, read, capsys):
    record, weights = trained
    others = [small(seed=seed) for seed in (1, 2)]
    for experiment in others:
        stored.put(record.model_copy(update={"experiment": experiment, "key": experiment.key}), weights)
    shutil.rmtree(stored.path(record.experiment))
    stored.put(record.model_copy(update={"origin": "elsewhere"}), weights)
    assert sorted(stored.frame().origin) == ["elsewhere", "params/x.yaml", "params/x.yaml"]
    shutil.rmtree(stored.path(others[0]))
    file = stored.path(others[1]) / "record.json"
    file.write_text(file.read_text().replace('"seed": 2', '"seed": 12'))
    assert stored.frame().key.tolist() == [record.key]
    assert "set aside" in capsys.readouterr().err


def test_a_store_beside_which_nothing_can_be_written_is_listed_all_the_same(stored, monkeypatch):
    monkeypatch.setattr(index, "file_of", lambda folder: folder / "no" / "such" / "folder.jsonl")
    assert len(stored.frame()) == 1


def test_the_frame_of_an_empty_store_is_empty(store):
    assert store.frame().empty


def test_runs_of_another_numerics_version_do_not_count_as_runs_of_a_setting(stored, monkeypatch):
    record = stored.records()[0]
    assert record.experiment.seed in stored.by_seed(record.experiment)
    monkeypatch.setattr("lib.experiment.NUMERICS_VERSION", 2)
    assert Store(stored.folder).by_seed(record.experiment) == {}
