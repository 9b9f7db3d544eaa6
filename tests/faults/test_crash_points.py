"""Programs that end at any of their file operations leave what is old or new, and whole; the next one tidies up."""

import itertools
import os
import random
import re
import shutil
from collections import defaultdict
from types import SimpleNamespace

import nbconvert_typst
import nbformat
import nbformat.v4 as v4
import pytest
from conftest import FEW, small
from crashing import crash, operations
from isolation import isolated, processes  # noqa: F401  (a fixture)

from lib.notebook import parameters
from lib.runs import sweep
from lib.runs.store import Store
from lib.system import paths
from longtail_writeup import publish
from longtail_writeup.report import document

FIRST, SECOND, THIRD = (small(**FEW, epochs=epochs, seed=seed) for seed, epochs in enumerate((1, 2, 1)))
#: Of a record, what another training of the same run may change.
TIMES = re.compile(rb'"(seconds|images_per_second|wall_time|finished|sha256|origin)": [^\n]*')


def train(folder, *experiments, origin=""):
    sweep.run(experiments, store=Store(folder / "runs"), workers=1, on_epoch=lambda *_: None, origin=origin)


def tree(folder, top=None):
    """Every folder below a folder, and every file with its content, apart from times, the index, and where it lies."""
    place = str(top or folder).encode()
    contents = {str(path.relative_to(folder)): path.is_file() and path.read_bytes() for path in folder.rglob("*")}
    return {
        name: content and not name.endswith("index.jsonl") and TIMES.sub(b"", content.replace(place, b""))
        for name, content in contents.items()
    }


class Sweep:
    """A run that is trained with a checkpoint after each epoch, stored and listed, beside one that is stored."""

    def prepare(self, folder):
        train(folder, FIRST)

    def act(self, folder):
        train(folder, FIRST, SECOND)

    def faults(self, folder, done):
        """Faults after the crash; in `done` nothing crashed, and the next program has been there."""
        store = Store(folder / "runs")
        listed = set(store.frame().get("key", ()))
        if not {FIRST.key} <= listed <= {FIRST.key, SECOND.key}:
            yield f"listed: {sorted(listed)}"
        for experiment in (FIRST, SECOND):
            found = store.get(experiment) and tree(store.path(experiment))
            if found != tree(done / "runs" / experiment.key) and (found or experiment is FIRST):
                yield f"another run of {experiment.title}, or none"

    def follow(self, folder):
        """The next program."""
        train(folder, FIRST, SECOND, THIRD)


class Put(Sweep):
    """A run that is stored in place of another copy of it."""

    def prepare(self, folder):
        train(folder, FIRST, origin="old")

    def act(self, folder):
        store = Store(folder / "runs")
        record = store.get(FIRST).model_copy(update={"origin": "new"})
        store.put(record, {name: store.tensors(FIRST, name) for name in ("best", "last", "logits")})


class Listing(Sweep):
    """A listing that makes the index, and sets a damaged run aside."""

    def prepare(self, folder):
        train(folder, FIRST, SECOND)
        (folder / "runs" / SECOND.key / "record.json").write_text("{")
        (folder / ".runs.index.jsonl").unlink()

    def act(self, folder):
        Store(folder / "runs").frame()


class Publish:
    """A report that takes the place of one kept before, which has a run that the new one does not show."""

    def prepare(self, folder):
        train(folder, FIRST)
        self._report(folder, [FIRST.key], "old")
        (folder / "README.md").write_text("Top\n<!-- generated: make publish -->\n<!-- end of generated -->\nEnd\n")
        self.act(folder)
        train(folder, SECOND)
        self._report(folder, [SECOND.key], "new")
        shutil.copytree(folder / "published" / "smoke", folder / "old")
        shutil.copy(folder / "README.md", folder / "old.md")

    def act(self, folder):
        paths.OUTPUTS, paths.RUNS, paths.PUBLISHED = folder, folder / "runs", folder / "published"
        publish.README = folder / "README.md"
        publish.publish("smoke")

    follow = act

    def faults(self, folder, done):
        old, now = tree(folder / "old"), tree(folder / "published" / "smoke")
        aside = [tree(place) for place in (*folder.glob("published/*"), *folder.glob("published/.*/*"))]
        if now not in (old, tree(done / "published" / "smoke")) and (now or old not in aside):
            yield "neither the old folder nor the new one"
        if not (folder / "README.md").read_text().startswith("Top") or len((folder / "README.md").read_text()) < 80:
            yield "neither the old README.md nor the new one"

    def _report(self, folder, keys, text):
        """An executed report in which every notebook has the exhibits that publishing looks for."""
        data = {"image/svg+xml": f"<svg>{text}</svg>", "text/html": f"<table>{text}</table>"}
        notes = [{"kind": "figure", "name": name, "runs": keys} for name in ("closing_rows", "ledger", "mistakes")]
        outputs = [v4.new_output("display_data", data, metadata={"writeup": note}) for note in notes]
        notebook = v4.new_notebook(cells=[v4.new_code_cell("1", id="one", execution_count=1, outputs=outputs)])
        (folder / "smoke").mkdir(exist_ok=True)
        for name in parameters.NOTEBOOKS:
            nbformat.write(notebook, folder / "smoke" / f"{name}.ipynb")
        for name in ("report.html", "report.pdf"):
            (folder / "smoke" / name).write_text(text * 10_000)


class Report:
    """The files of a report and its plan, in place of those of an earlier one."""

    def prepare(self, folder):
        self.act(folder, "old", epochs=3)

    def act(self, folder, text="new", epochs=4):
        for name, result in (("ReportHTMLExporter", text * 10_000), ("TypstPDFExporter", text.encode() * 10_000)):
            method = SimpleNamespace(from_notebook_node=lambda *_, result=result: (result, None))
            setattr(nbconvert_typst, name, lambda method=method, **_: method)
        parameters.Plan.of("smoke", {"epochs": epochs}).save(folder / "smoke" / "plan.json")
        document.write_report(v4.new_notebook(), folder / "smoke")

    follow = act

    def faults(self, folder, done):
        for name in ("report.html", "report.pdf"):
            if (folder / "smoke" / name).read_text() not in ("old" * 10_000, "new" * 10_000):
                yield f"{name} is neither the old one nor the new one"
        if parameters.Plan.load(folder / "smoke" / "plan.json").values["convnet"]["epochs"] not in (3, 4):
            yield "another plan"


def undisturbed(scenario, folder):
    """Make the folders `before` and `done`; return the names of the operations in between."""
    scenario.prepare(folder / "before")
    shutil.copytree(folder / "before", folder / "copy")
    scenario.act(folder / "copy")  # so that everything is imported
    shutil.copytree(folder / "before", folder / "done")
    found = operations(scenario.act, folder / "done")
    scenario.follow(folder / "done")
    return found


def interrupted(scenario, folder, number):
    """Crash at an operation, in a copy of `before`; return what is wrong then, and what after the next program."""
    place = folder / f"at-{number}"
    shutil.copytree(folder / "before", place)
    crashed = isolated(crash, scenario.act, number, place)
    outcome = isolated(_judge, scenario, place, folder / "done") if crashed.kind == "died" else crashed
    shutil.rmtree(place)
    return outcome.value if outcome.kind == "returned" else [f"{outcome.kind}: {outcome.value[-300:]}"]


def _judge(scenario, place, done):
    found = list(scenario.faults(place, done))
    scenario.follow(place)
    one, other = tree(place), tree(done)
    left = one.keys() - other.keys()
    found += [f"{name} is left behind" for name in left if os.path.dirname(name) not in left]
    return found + [f"{name} is another" for name in other if one.get(name) != other[name]]


@pytest.mark.timeout(1_800)
@pytest.mark.parametrize("share", [0.06, pytest.param(1, marks=pytest.mark.faults)])
@pytest.mark.parametrize("scenario", [Sweep(), Put(), Listing(), Publish(), Report()], ids=lambda s: type(s).__name__)
def test_a_crash_at_any_file_operation_leaves_old_or_new(processes, tmp_path, scenario, share):
    """Every operation is tried, but of the many writes of one file only some."""
    outcome = processes.submit(isolated, undisturbed, scenario, tmp_path).result()
    assert outcome.kind == "returned", outcome.value
    names, rng = outcome.value, random.Random(0)
    writes = [n for n, name in enumerate(names) if name == "write"]
    points = [n for n, name in enumerate(names) if name != "write"] + rng.sample(writes, min(8, len(writes)))
    points = sorted(rng.sample(points, max(4, round(share * len(points)))))
    found = processes.map(interrupted, itertools.repeat(scenario), itertools.repeat(tmp_path), points)
    wrong = defaultdict(list)
    for number, faults in zip(points, found, strict=True):
        for fault in faults:
            wrong[re.sub(r"(?<=\.)(tmp-|new-|unfinished-|\d)\w+", "…", fault)].append(f"{names[number]} ({number})")
    bad = len({place for places in wrong.values() for place in places})
    print(f"{len(points)} crash points of {len(names)} file operations, {type(scenario).__name__}: {bad} wrong")
    assert not wrong, "\n".join(f"{fault}: {len(where)}, first before {where[0]}" for fault, where in wrong.items())
