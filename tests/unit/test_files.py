"""Files that may hold anything: refused with a reason, replaced whole, never waited for."""

import os
import sys
from pathlib import Path

import pytest
import yaml

from lib.system import files
from lib.system.errors import UserError, clipped, printable, quoted


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-3", 0.001),
        ("1.5", 1.5),
        (".5", 0.5),
        ("-3", -3),
        ("+3", 3),
        ("1E+2", 100.0),
        (".inf", float("inf")),
        ("true", True),
        ("yes", True),
        ("null", None),
        ("[1, 2.0, a]", [1, 2.0, "a"]),
        # Readers disagree on these: 90, 8, 10 and a date for some.
        ("1:30", "1:30"),
        ("010", "010"),
        ("1_0", "1_0"),
        ("0x1F", "0x1F"),
        ("2001-02-30", "2001-02-30"),
        ("1.2.3", "1.2.3"),
    ],
)
def test_yaml_has_one_reading(text, value):
    assert files.parse_yaml(text, "it") == value
    assert type(files.parse_yaml(text, "it")) is type(value)


@pytest.mark.parametrize("file", sorted(Path(__file__).parents[2].glob("params/*/*.yaml")), ids=lambda f: f.parent.name)
def test_papermill_reads_the_shipped_files_as_we_do(file):
    assert yaml.safe_load(file.read_text()) == files.parse_yaml(file.read_bytes(), file.name)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"\xff\xfea", "it is not UTF-8 text (byte 0)."),
        ("a: 1\na: 2", "it is not valid YAML: 'a' is set twice"),
        ("a: &x [*x]", "it is not valid YAML: aliases are not supported"),
        ("!!int foo", "it is not valid YAML: invalid literal"),
        ("!!timestamp x", "it is not valid YAML"),
        ("!!python/object/apply:os.system [exit]", "it is not valid YAML: could not determine a constructor"),
        ("{[1]: 2}", "it is not valid YAML"),
        ("9" * 5000, "it is not valid YAML"),
        ("[" * 5000, "it is nested too deeply."),
        ("x" * 200_000, "it is not valid YAML: it has more than 100,000 characters."),
        ("a: 1\n--- \nb: 2", "it is not valid YAML: expected a single document"),
    ],
)
def test_yaml_that_means_nothing_is_a_sentence(text, said):
    with pytest.raises(UserError) as error:
        files.parse_yaml(text, "it")
    assert str(error.value).startswith(said)
    assert len(str(error.value)) < 350


def test_what_is_quoted_is_short_and_printable():
    nested = [["y" * 999] * 999] * 999
    for value in ("x" * 10**6, nested, 10**5000, {"k" * 999: 1}, "\x1b[31m\n\u202e", [[[[[[1]]]]]]):
        said = quoted(value)
        assert len(said) <= 120
        assert said.isprintable()


def test_no_message_is_obeyed_by_a_terminal():
    assert str(UserError("a\x1b[31mb\nc\u202ed")) == "a [31mb\nc d"
    assert printable("é β — ×") == "é β — ×"
    assert clipped("a\n\n b" + "c" * 999, 20) == "a b" + "c" * 14 + "..."


def test_only_regular_files_of_a_sane_size_are_read(tmp_path):
    file, pipe, device, gone = (tmp_path / name for name in ("file", "pipe", "device", "gone"))
    file.write_bytes(b"12345")
    os.mkfifo(pipe)
    device.symlink_to("/dev/zero")
    assert files.regular(file, 5) == file
    for path, reason in ((file, "5 bytes, more than the 4"), (pipe, "not a regular file"), (device, "not a regular")):
        with pytest.raises(OSError, match=reason):
            files.regular(path, 4)
    with pytest.raises(FileNotFoundError):
        files.regular(gone, 4)


def in_child(action, operations):
    """Run the action in a process that ends at the given change to the file system, as by a kill; True if it did."""
    child = os.fork()
    if child == 0:
        left = [operations]

        def ending(event, _):
            if event in {"os.rename", "os.mkdir", "os.rmdir", "os.remove", "shutil.rmtree", "open"}:
                left[0] -= 1
                if left[0] < 0:
                    os._exit(9)

        sys.addaudithook(ending)
        action()
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9


def filled(folder, text):
    (folder / "deep").mkdir(parents=True)
    for name in ("a", "b", "deep/c"):
        (folder / name).write_text(text)


def read(folder):
    return {str(file.relative_to(folder)): file.read_text() for file in folder.rglob("*") if file.is_file()}


@pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")  # from 3.12; the child only changes files
def test_a_folder_is_old_or_new_at_whatever_step_its_replacement_is_killed(tmp_path):
    def replace(target):
        with files.replaced(target):
            filled(target, "new")

    for step in range(200):
        target = tmp_path / str(step) / "published"
        filled(target, "old")
        killed = in_child(lambda target=target: replace(target), step)
        with files.replaced(target):  # the next program finds it
            aside = target.with_name(".old-published")
            assert set(read(aside).values()) in ({"old"}, {"new"})
            assert len(read(aside)) == 3
            filled(target, "newer")
        assert set(read(target).values()) == {"newer"}
        assert [path.name for path in target.parent.iterdir()] == ["published"]
        if not killed:
            break
    assert step > 8


def test_a_folder_comes_back_where_its_replacement_fails(tmp_path):
    target = tmp_path / "published"
    filled(target, "old")

    def replace():
        with files.replaced(target):
            (target / "half").mkdir(parents=True)
            raise ValueError("no room")

    with pytest.raises(ValueError, match="no room"):
        replace()
    assert set(read(target).values()) == {"old"}
    assert [path.name for path in tmp_path.iterdir()] == ["published"]


def test_a_lock_is_held_by_one_and_leaves_no_file(tmp_path):
    own = files.lock(tmp_path / "new" / "x.lock")
    assert own
    assert files.lock(tmp_path / "new" / "x.lock") is None
    with (
        pytest.raises(UserError, match="Another program is waiting"),
        files.only_program(Path(own.lock_file), "waiting"),
    ):
        pass
    files.unlock(own)
    assert not list((tmp_path / "new").iterdir())
