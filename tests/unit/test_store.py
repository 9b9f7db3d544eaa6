"""The store: whole or not at all, damage found and said, nothing misread."""

import errno
import json
import os
import shutil
import time

import pytest
import torch
from conftest import run, small

from lib.experiment import Experiment
from lib.runs import index
from lib.runs import store as storing
from lib.runs.store import Store
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
    assert files == {"record.json", "best.safetensors", "last.safetensors", "logits.safetensors"}


def test_logits_are_read_by_their_name(stored, trained):
    assert torch.equal(stored.tensors(trained[0].experiment, "logits")["test"], trained[1]["logits"]["test"])


def test_storing_a_run_again_replaces_it_and_ends_its_checkpoint(stored, trained):
    record, weights = trained
    checkpoint = stored.checkpoint(record.experiment)
    checkpoint.parent.mkdir()
    checkpoint.write_bytes(b"")
    stored.put(record.model_copy(update={"origin": "another"}), weights)
    assert stored.get(record.experiment).origin == "another"
    assert folders(stored) == [record.key, "unfinished"]
    assert not checkpoint.exists()


@pytest.mark.parametrize("function", ["save_file", "_write_json"])
@pytest.mark.parametrize(
    "error", [OSError(errno.ENOSPC, "No space left on device"), storing.SafetensorError("I/O error: no space")]
)
def test_a_full_disk_is_said_and_leaves_nothing_behind(store, trained, monkeypatch, function, error):
    def full(*_):
        raise error

    monkeypatch.setattr(storing, function, full)
    with pytest.raises(UserError, match=r"could not be stored in .*[Nn]o space.*Make room"):
        store.put(*trained)
    assert folders(store) == []


def test_a_full_disk_leaves_the_earlier_record(stored, trained, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(storing, "_write_json", full)
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


def test_what_a_killed_program_left_half_written_is_removed_a_day_later(store, trained):
    young, old = (store.folder / f".tmp-{name}" for name in ("young", "old"))
    for left in (young, old):
        left.mkdir(parents=True)
        (left / "best.safetensors").write_bytes(b"half")
    yesterday = time.time() - 25 * 3600
    os.utime(old, (yesterday, yesterday))
    store.put(*trained)
    assert young.exists()
    assert not old.exists()


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


def test_a_record_whose_experiment_is_another_in_spite_of_its_key_is_not_returned(stored, trained):
    """The key leaves defaults out: were a default changed, old records would answer for new experiments."""
    experiment = trained[0].experiment
    changed = experiment.model_copy(update={"weight_decay": 0.1})
    stored.path(experiment).rename(stored.path(changed))
    file = stored.path(changed) / "record.json"
    whole = json.loads(file.read_text())
    whole["record"]["key"] = changed.key
    file.write_text(json.dumps({**whole, "sha256": storing._digest(whole["record"])}))
    assert stored.get(changed) is None


def test_a_stored_run_can_be_read_by_others(stored, trained):
    assert stored.path(trained[0].experiment).stat().st_mode & 0o055 == 0o055


def test_a_record_that_may_not_be_read_is_said(stored, trained, monkeypatch):
    def refuse(_):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(storing, "_read_json", refuse)
    with pytest.raises(UserError, match=f"{trained[0].key} .*Permission denied"):
        stored.get(trained[0].experiment)


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
