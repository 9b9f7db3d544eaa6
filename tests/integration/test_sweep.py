"""Many runs: each trained once, none lost to another's failure, the same side by side as one by one."""

import html
import re
import threading
import time
from contextlib import nullcontext
from types import SimpleNamespace

import pytest
import torch
from conftest import numbers, tiny
from filelock import FileLock

from lib.notebook import exhibits
from lib.runs import progress, sweep
from lib.runs.store import Store
from lib.runs.sweep import job as jobs
from lib.system.errors import UserError

# Small steps are fastest on one thread, and repeatable.
pytestmark = pytest.mark.usefixtures("one_thread", "two_cores_and_no_gpu")


def test_equal_runs_are_trained_once_and_stored_ones_not_at_all(store):
    seen = []
    a, b = tiny(), tiny(seed=1)
    settings = {"store": store, "workers": 1, "on_epoch": lambda e, _: seen.append(e.key)}
    records = sweep.run([b, a, tiny(gamma=3.0), b], **settings, origin="first")
    assert seen == [b.key, a.key]
    assert [r.key for r in records] == [b.key, a.key, a.key, b.key]  # in the order asked for
    c = tiny(seed=2)
    records = sweep.run([c, a, b], **settings, origin="second")
    assert seen == [b.key, a.key, c.key]
    assert [(r.key, r.origin) for r in records] == [(c.key, "second"), (a.key, "first"), (b.key, "first")]


def test_one_failing_run_does_not_stop_the_others(store, monkeypatch):
    good, diverging, broken = tiny(seed=3), tiny(learning_rate=1e30, model="ConvNet"), tiny(seed=5)
    train = jobs.train

    def breaking(experiment, **options):
        if experiment == broken:
            raise RuntimeError("out of memory")
        return train(experiment, **options)

    monkeypatch.setattr(jobs, "train", breaking)
    with pytest.raises(UserError) as error:
        sweep.run([diverging, broken, good], store=store, workers=1, on_epoch=lambda *_: None)
    assert "2 of 3 runs failed; the others are stored" in str(error.value)
    assert re.search(f"{re.escape(diverging.title)}: .*loss became", str(error.value))
    assert f"{broken.title}: RuntimeError: out of memory" in str(error.value)
    assert [r.key for r in store.records()] == [good.key]


def test_side_by_side_equals_one_by_one_bit_for_bit(store, tmp_path):
    """With a failing run among them, which must not stop the others here either."""
    good = [tiny(model="ConvNet", epochs=2), tiny(model="ConvNet", epochs=2, loss="focal", gamma=1, beta=0.9)]
    bad, seen = tiny(model="ConvNet", learning_rate=1e30), []
    with pytest.raises(UserError, match=r"1 of 3 runs failed(.|\n)*loss became"):
        sweep.run([bad, *good], store=store, workers=2, on_epoch=lambda e, epoch: seen.append((e.key, epoch.epoch)))
    assert sorted(seen) == sorted((e.key, n) for e in good for n in (1, 2))
    together = sweep.run(good, store=store, workers=2, on_epoch=lambda *_: pytest.fail("trained again"))

    alone_store = Store(tmp_path / "alone")
    alone = sweep.run(good, store=alone_store, workers=1, on_epoch=lambda *_: None)
    assert [numbers(r) for r in together] == [numbers(r) for r in alone]
    for experiment in good:
        for which in ("best", "last"):
            one, other = (s.tensors(experiment, which) for s in (store, alone_store))
            assert all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize(
    ("asked", "missing", "expected"), [(1, 1, None), (2, 2, (2, 1)), (2, 1, (1, 1)), (5, 4, (2, 1))]
)
def test_threads_follow_from_the_runs_asked_for_not_from_those_missing(store, monkeypatch, asked, missing, expected):
    """Another number of threads gives other last digits: an interrupted sweep has to end as it would have."""
    runs, called = [tiny(seed=seed) for seed in range(asked)], []
    if asked > missing:
        sweep.run(runs[: asked - missing], store=store, workers=1, on_epoch=lambda *_: None)

    def spread(job, workers, *, threads, local):
        called.append((workers, threads))
        return SimpleNamespace(run=job.one_by_one)

    monkeypatch.setattr("lib.runs.sweep.cluster.local", nullcontext)
    monkeypatch.setattr("lib.runs.sweep.spread.Spread", spread)
    sweep.run(runs, store=store, on_epoch=lambda *_: None)
    assert called == ([expected] if expected else [])


def test_of_two_programs_that_want_one_run_the_second_waits_and_takes_the_firsts(store, tmp_path):
    experiment, results, trained = tiny(), [], []
    checkpoint = store.checkpoint(experiment)
    checkpoint.parent.mkdir(parents=True)
    elsewhere = Store(tmp_path / "elsewhere")
    (record,) = sweep.run([experiment], store=elsewhere, workers=1, origin="first", on_epoch=lambda *_: None)

    def second():
        settings = {"workers": 1, "origin": "second", "on_epoch": lambda *news: trained.append(news)}
        results.extend(sweep.run([experiment], store=store, **settings))

    thread = threading.Thread(target=second)
    with FileLock(checkpoint.with_suffix(".lock")):  # the first program is at it
        thread.start()
        time.sleep(0.3)
        assert thread.is_alive()
        store.put(record, {which: elsewhere.tensors(experiment, which) for which in ("best", "last")})
    thread.join(timeout=30)
    assert not trained
    assert [r.origin for r in results] == ["first"]


def interrupt(experiment, store, after):
    """Train a run and stop it after some epochs."""

    def stop(_, epoch):
        if epoch.epoch == after:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        sweep.run([experiment], store=store, workers=1, on_epoch=stop)


@pytest.mark.parametrize("watcher", ["nobody", "a display", "a runner"])
@pytest.mark.parametrize("begun", [False, True])
def test_a_run_that_another_program_trains_is_said_once_with_its_progress_to_whoever_watches(
    store, tmp_path, capsys, monkeypatch, watcher, begun
):
    monkeypatch.delenv(progress.VARIABLE, raising=False)
    experiment, loops, events = tiny(epochs=5), [], []
    if begun:
        interrupt(experiment, store, after=2)
    checkpoint, file = store.checkpoint(experiment), tmp_path / "progress.jsonl"
    checkpoint.parent.mkdir(parents=True, exist_ok=True)
    theirs = FileLock(checkpoint.with_suffix(".lock"))

    def stop():
        loops.append(1)
        if len(loops) == 3:
            theirs.release()

    if watcher == "a runner":
        monkeypatch.setenv(progress.VARIABLE, str(file))
    with theirs:
        tell = events.append if watcher == "a display" else None
        assert len(sweep.run([experiment], store=store, workers=1, stop=stop, tell=tell)) == 1
    state = "epoch 2 of 5 is done" if begun else "no epoch is done yet"
    sentence = f"{experiment.title} is being trained by another program ({state}); waiting for it."
    out, err = capsys.readouterr()
    assert err == f"{sentence}\n"
    assert sentence not in out
    if watcher == "a runner":
        events = progress.read(file.read_text())
    if watcher != "nobody":
        assert next(event for event in events if event.worth_a_line) == progress.Event(sentence, worth_a_line=True)
        assert [event.line for event in events].count(sentence) == 1


def test_progress_that_cannot_be_shown_does_not_stop_the_training(store, capsys):
    def broken(*_):
        raise OSError("no space left")

    runs = [tiny(), tiny(seed=1)]
    assert len(sweep.run(runs, store=store, workers=2, on_epoch=broken)) == 2
    assert capsys.readouterr().err.count("could not be shown: no space left") == 2


def test_of_one_run_each_epoch_has_a_line(store, capsys, monkeypatch):
    monkeypatch.delenv(progress.VARIABLE, raising=False)
    (record,) = sweep.run([tiny(epochs=2)], store=store, workers=1)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    for number, (line, epoch) in enumerate(zip(lines, record.history, strict=True), start=1):
        for part in (record.experiment.title, f"epoch {number}/2", f"test {epoch.test.accuracy:.1%}", "images/s"):
            assert part in line
    assert lines[-1].endswith(" 00:00 left")


def test_of_several_runs_each_has_one_line_with_all_there_is_to_know(store, capsys, monkeypatch):
    monkeypatch.delenv(progress.VARIABLE, raising=False)
    runs = [tiny(epochs=2), tiny(seed=1), tiny(seed=2)]
    records = sweep.run(runs, store=store, workers=1)
    lines = capsys.readouterr().out.splitlines()
    counts = ["1/3 runs done, 1 running, 1 waiting", "2/3 runs done, 1 running, 0 waiting", "3/3 runs done, 0 running"]
    assert len(lines) == len(records)
    for line, record, count in zip(lines, records, counts, strict=True):
        for part in (count, record.experiment.title, f"test {record.last.test.accuracy:.1%}", "images/s", "left"):
            assert part in line
    assert lines[-1].endswith(" 00:00 left")


class Output:
    """Stands in for a notebook's front end: what is shown, as (mimetypes, metadata)."""

    def __init__(self):
        self.shown = []

    def display(self, data, raw, metadata=None, display_id=None):
        self.shown.append((data, metadata or {}))
        return self if display_id else None

    update = display


@pytest.fixture
def output(monkeypatch):
    output = Output()
    monkeypatch.setattr(exhibits.ipython, "display", output.display)
    return output


def test_a_person_sees_one_figure_that_grows_and_how_far_the_sweep_is(store, output, capsys):
    watched = exhibits.Live("curves", store=store)
    records = sweep.run([tiny(epochs=2)], store=store, workers=1, on_epoch=watched.on_epoch, tell=watched.tell)
    drawn = [data["text/plain"] for data, _ in output.shown if "image/svg+xml" in data]
    assert [line.split(" · ")[1] for line in drawn] == ["epoch 1/2", "epoch 2/2"]
    texts = [data["text/markdown"] for data, _ in output.shown if "text/markdown" in data]
    assert html.unescape(texts[0]).partition("  \n")[0].split(" · ")[1:] == ["epoch 1/2", "0%"]
    assert all(exhibits.RELOADED in text for text in texts)
    before = len(output.shown)
    watched.finish(records)
    assert output.shown[before][0] == {"text/markdown": "", "text/plain": ""}  # the progress line goes
    assert [note["writeup"]["kind"] for _, note in output.shown[before + 1 :]] == ["figure", "caption"]
    assert output.shown[before + 1][1]["writeup"]["runs"] == [records[0].key]
    assert capsys.readouterr().out == ""


def test_a_training_that_is_stopped_shows_every_epoch_that_it_finished(store, output):
    watched = exhibits.Live("curves", store=store)
    watched._rest_until = float("inf")  # no epoch is drawn as it comes

    def stop(experiment, epoch):
        watched.on_epoch(experiment, epoch)
        if epoch.epoch == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        sweep.run([tiny(epochs=3)], store=store, workers=1, on_epoch=stop, tell=watched.tell)
    assert not [data for data, _ in output.shown if "image/svg+xml" in data]
    watched.stop()
    assert [" · epoch 2/3 · " in data["text/plain"] for data, _ in output.shown if "image/svg+xml" in data] == [True]


def test_the_figure_of_a_stored_run_is_the_one_it_ended_with(store, output):
    records = sweep.run([tiny(epochs=2)], store=store, workers=1, on_epoch=lambda *_: None)
    exhibits.Live("curves").finish(records)
    again = exhibits.Live("curves")
    for epoch in records[0].history:
        again.on_epoch(records[0].experiment, epoch)
    again.finish(records)
    figures = [data for data, note in output.shown if note.get("writeup", {}).get("kind") == "figure"]
    assert figures[0] == figures[1]


def test_a_run_that_settings_share_is_drawn_and_counted_once(store, output):
    records = sweep.run([tiny(), tiny(seed=1)], store=store, workers=1, on_epoch=lambda *_: None)
    exhibits.Live("curves").finish([*records, *records])
    (figure,) = [note["writeup"] for _, note in output.shown if note.get("writeup", {}).get("kind") == "figure"]
    assert figure["runs"] == [record.key for record in records]
    assert figure["caption"].startswith("Learning curves of 2 runs")


def test_of_many_runs_the_first_of_each_setting_is_drawn(store, output, monkeypatch):
    runs = [tiny(), tiny(seed=1), tiny(momentum=0.5), tiny(momentum=0.5, seed=1)]
    records = sweep.run(runs, store=store, workers=1, on_epoch=lambda *_: None)
    monkeypatch.setattr(exhibits, "LEGIBLE", 3)
    exhibits.Live("curves").finish(records)
    (figure,) = [note["writeup"] for _, note in output.shown if note.get("writeup", {}).get("kind") == "figure"]
    assert figure["runs"] == [records[0].key, records[2].key]
    assert "2 runs, the first of each setting (4 in all; " in figure["caption"]


def test_drawing_takes_a_small_share_of_the_time(store, output, monkeypatch):
    (record,) = sweep.run([tiny(epochs=2)], store=store, workers=1, on_epoch=lambda *_: None)
    now = [0.0]
    monkeypatch.setattr(exhibits.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(
        exhibits.Live, "_draw", lambda *_: now.__setitem__(0, now[0] + 1) or output.shown.append(now[0])
    )
    watched = exhibits.Live()
    for number in range(1, 41):  # an epoch a second, and a second to draw one
        now[0] += 1
        watched.on_epoch(tiny(epochs=40), record.last.model_copy(update={"epoch": number}))
    assert len(output.shown) == 5  # every eleven seconds, and the last epoch


def test_a_run_that_goes_on_shows_the_epochs_of_before(store, output, monkeypatch):
    experiment = tiny(epochs=3)
    watched = exhibits.Live(store=store)
    interrupt(experiment, store, after=2)
    sweep.run([experiment], store=store, workers=1, on_epoch=watched.on_epoch)
    (history,) = watched._histories.values()
    assert [epoch.epoch for epoch in history] == [1, 2, 3]


def test_a_run_that_ended_without_all_its_epochs_is_not_waited_for(store):
    (record,) = sweep.run([tiny()], store=store, workers=1, on_epoch=lambda *_: None)
    events = []
    follow = progress.Progress([tiny(epochs=9), tiny()], tell=events.append)
    follow.ended(tiny(epochs=9))
    follow(tiny(), record.last)
    assert events[0].line.startswith("2/2 runs done, 0 running, 0 waiting")
    assert events[0].line.endswith(" 00:00 left")


def test_stored_runs_print_nothing(store, capsys):
    sweep.run([tiny()], store=store, workers=1, on_epoch=lambda *_: None)
    capsys.readouterr()
    sweep.run([tiny()], store=store, workers=1)
    assert capsys.readouterr() == ("", "")


def test_a_runner_gets_events_in_its_file_and_the_kernel_prints_nothing(store, tmp_path, capsys, monkeypatch):
    file = tmp_path / "progress.jsonl"
    monkeypatch.setenv(progress.VARIABLE, str(file))
    (record,) = sweep.run([tiny(epochs=2)], store=store, workers=1)
    assert capsys.readouterr().out == ""
    events = [event for event in progress.read(file.read_text()) if event.worth_a_line]
    for number, (event, epoch) in enumerate(zip(events, record.history, strict=True), start=1):
        start = f"{record.experiment.title} · epoch {number}/2 · test {epoch.test.accuracy:.1%} · "
        assert event.line.startswith(start)
        assert event.worth_a_line
    assert events[-1].line.endswith(" 00:00 left")


def test_time_left_comes_from_the_epochs_done_here(store, monkeypatch):
    """A run resumed at its 4th of 5 epochs has one to go, at the pace of the one just done."""
    (record,) = sweep.run([tiny()], store=store, workers=1, on_epoch=lambda *_: None)
    now, events = [100.0], []
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(progress, "emit", events.append)
    experiment = tiny(epochs=5)
    follow = progress.Progress([experiment])
    now[0] = 130.0
    follow(experiment, record.last.model_copy(update={"epoch": 4}))
    assert events[0].line.endswith(" 00:30 left")


def test_an_epoch_is_shown_from_its_first_step_on(monkeypatch):
    now, events = [100.0], []
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    experiment = tiny(epochs=4)
    follow = progress.Progress([experiment], tell=events.append, done={experiment.key: 1})
    for done in range(0, 1000, 100):  # 100 images a second
        follow.step(experiment, 2, done, 1000)
        now[0] += 1
    title = f"{experiment.title} · epoch 2/4"
    assert [event.line for event in events][:2] == [f"{title} · 0%", f"{title} · 10% · 100 images/s · 00:29 left"]
    assert events[-1].line == f"{title} · 90% · 100 images/s · 00:21 left"
    assert not any(event.worth_a_line for event in events)
    for _ in range(100):  # at most two events a second
        now[0] += 0.01
        follow.step(experiment, 2, 990, 1000)
    assert len(events) <= 12


def test_the_epochs_that_an_interrupted_run_has_done_do_not_count_as_left(store, monkeypatch):
    """Also while it waits for its turn."""
    waiting, first = tiny(epochs=50), tiny(epochs=2)
    interrupt(waiting, store, after=49)
    given, events, now = [], [], [100.0]
    monkeypatch.setattr(sweep, "Progress", lambda *arguments: given.append(arguments) or progress.Progress(*arguments))
    (record, _) = sweep.run([first, waiting], store=store, workers=1, tell=lambda event: None)
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    follow = progress.Progress([first, waiting], events.append, given[0][2])
    now[0] += 10
    follow(first, record.history[0])
    assert events[0].line.endswith(" 00:20 left")  # an epoch of each, at ten seconds


@pytest.mark.parametrize(("seconds", "text"), [(5, "00:05"), (3599, "59:59"), (7384, "2:03:04"), (90061, "25:01:01")])
def test_time_left_is_readable(seconds, text):
    assert progress.readable(seconds) == text
