"""Mutated parameter files and command lines are accepted, or refused in a sentence; nothing else happens."""

import math
import os
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import pytest
from isolation import isolated, pool
from mutants import mutant

from lib.notebook.parameters import Plan, read
from lib.system import paths
from lib.system.errors import UserError

SECONDS, CHARACTERS = 2, 600  # of a processor, and of a refusal
#: Events that reading must not cause; audit hooks cannot be removed, so that they ask whether to watch.
FORBIDDEN = ("os.", "subprocess.", "socket.", "shutil.", "ctypes.", "pty.", "tempfile.")
HARMLESS = ("os.listdir", "os.scandir", "os.putenv", "os.unsetenv")
watching: list[str] | None = None


class Verdict(NamedTuple):
    number: int
    kind: str  # "accepted", "refused", or what is wrong
    text: str  # the refusal, or the traceback
    seconds: float


class Accepted(BaseException):
    """Raised by what follows once the parameters are accepted."""


class TooLong(BaseException):
    """Raised where reading takes too long."""


def accept(*_):
    raise Accepted


def stop(*_):
    raise TooLong


def watch(event, arguments):
    writes = event == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR)
    if watching is not None and (writes or (event.startswith(FORBIDDEN) and event not in HARMLESS)):
        watching.append(f"{event} {arguments!r:.200}")


def judge_all(numbers):
    """Verdict on each mutant; to be called in a process of its own."""
    from lib import data

    data.load = accept
    signal.signal(signal.SIGPROF, stop)
    sys.addaudithook(watch)
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        shutil.copytree(paths.PARAMS, "params")
        paths.PARAMS, paths.OUTPUTS = Path(folder, "params"), Path(folder, "outputs")
        verdicts = [_judge(number) for number in numbers]
        assert os.listdir(folder) == ["params"], os.listdir(folder)
        return verdicts


def _judge(number):
    global watching
    case = mutant(number)
    file = paths.PARAMS / case.profile / f"{case.notebook}.yaml"
    shipped = file.read_bytes()
    file.write_bytes(case.content)
    start, watching = time.process_time(), []
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    try:
        kind, text = _read(number, case, file)
    except Accepted:
        kind, text = "accepted", ""
    except UserError as error:
        kind, text = "refused", str(error)
        if len(text) > CHARACTERS:
            kind = "too long a sentence"
        elif not text.isprintable():
            kind = "unprintable"
    except TooLong:
        kind, text = "too slow", ""
    except BaseException as error:
        kind, text = f"traceback: {type(error).__name__}", traceback.format_exc()
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        happened, watching = watching, None
        file.write_bytes(shipped)
    kind, text = ("side effect", str(happened)) if happened else (kind, text)
    return Verdict(number, kind, text, time.process_time() - start)


def _read(number, case, file):
    """Read as a report does: one file, or all of a profile, or the command line."""
    from lib.__main__ import app

    if case.options:
        words = [word for option in case.options for word in ("-p", option)]
        app(["report", "--profile", case.profile, *words], standalone_mode=False)
        return "no report", ""
    values = [read(file, paths.NOTEBOOKS / f"{case.notebook}.ipynb")]
    if number % 10 == 0:
        plan = Plan.of(case.profile, {})
        values = list(plan.values.values())
        if Plan.model_validate_json(plan.model_dump_json()) != plan:
            return "not the same once saved", str(values)
    wrong = [v for v in _leaves(values) if isinstance(v, float) and not math.isfinite(v)]
    return ("accepted nonsense", str(wrong)) if wrong else ("accepted", "")


def _leaves(value):
    if isinstance(value, dict | list | tuple):
        for each in value.values() if isinstance(value, dict) else value:
            yield from _leaves(each)
    else:
        yield value


def verdicts(numbers, together=50):
    """Verdict on each mutant; those among which a process hung or died are judged one by one."""
    with pool() as executor:
        parts = [numbers[start : start + together] for start in range(0, len(numbers), together)]
        outcomes = list(executor.map(isolated, [judge_all] * len(parts), parts))
        found = [verdict for outcome in outcomes if outcome.kind == "returned" for verdict in outcome.value]
        alone = [[n] for part, outcome in zip(parts, outcomes, strict=True) if outcome.kind != "returned" for n in part]
        for (number,), outcome in zip(alone, executor.map(isolated, [judge_all] * len(alone), alone), strict=True):
            good = outcome.kind == "returned"
            found += outcome.value if good else [Verdict(number, outcome.kind, outcome.value, math.nan)]
        return found


@pytest.mark.timeout(600)
@pytest.mark.parametrize("count", [300, pytest.param(11_000, marks=pytest.mark.faults)])
def test_mutated_parameters_are_accepted_or_refused_in_a_sentence(count):
    found = verdicts(range(count))
    kinds = Counter(verdict.kind for verdict in found)
    longest = max(len(verdict.text) for verdict in found if verdict.kind in ("refused", "too long a sentence"))
    slowest = max(verdict.seconds for verdict in found)
    print(
        f"{count:,} mutated parameter files and command lines: {kinds['accepted']:,} accepted, "
        f"{kinds['refused']:,} refused, longest refusal {longest:,} characters, slowest {slowest:.2f} s"
    )
    wrong = [verdict for verdict in found if verdict.kind not in ("accepted", "refused")]
    assert not wrong, summary(wrong)


def summary(wrong):
    """Each kind of wrong verdict with its number and an example: its mutant and the end of its text."""
    kinds = Counter(verdict.kind for verdict in wrong)
    examples = {kind: next(verdict for verdict in wrong if verdict.kind == kind) for kind in kinds}
    return "\n".join(
        f"{n:,} × {kind}, as mutant {examples[kind].number}: {examples[kind].text[-300:]}" for kind, n in kinds.items()
    )
