"""The command line: python -m benchmarks."""

import sys
from typing import Annotated

import typer

from lib.system.errors import UserError

app = typer.Typer(
    help="Measure the speed of the training loop beside what people use.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
Profile = Annotated[str, typer.Argument(help="A file of benchmarks/params: full, smoke, or yours.")]


@app.command()
def run(profile: Profile = "full") -> None:
    """Take every measurement (full: an hour) and write outputs/benchmark/<profile>/report.html and report.pdf."""
    from benchmarks import report

    try:
        complete = report.run(profile)
    except KeyboardInterrupt:
        raise UserError("Stopped. A benchmark is measured in one go: the same command starts it anew.") from None
    if not complete:
        raise typer.Exit(1)


@app.command()
def check() -> None:
    """Measure again the ratios that matter, in minutes; fails when a bar is missed."""
    from benchmarks import bars

    bars.check()


@app.command()
def keep(profile: Profile = "full") -> None:
    """Store the measurements of a finished run in benchmarks/kept, and show them in benchmarks/README.md."""
    from benchmarks import report

    report.keep(profile)


@app.command()
def readme() -> None:
    """Write the tables of benchmarks/README.md anew, from benchmarks/kept."""
    from benchmarks import report

    report.write_readme()


if __name__ == "__main__":
    try:
        app()
    except UserError as error:
        sys.exit(f"{error}")
