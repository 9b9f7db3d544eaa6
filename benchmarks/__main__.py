"""The command line: python -m benchmarks."""

from typing import Annotated

import typer

from lib.system.errors import UserError, run_command_line

app = typer.Typer(
    help="Speed of the training loop beside the loops that people use.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
Profile = Annotated[str, typer.Option(help="A file of benchmarks/params: smoke, quick, or yours.")]


@app.command()
def run(profile: Profile = "quick") -> None:
    """Take every measurement (quick: an hour) and write outputs/benchmark/<profile>/report.html and report.pdf."""
    from benchmarks import report

    try:
        report.run(profile)
    except KeyboardInterrupt:
        raise UserError("Stopped. A benchmark is measured in one go: the same command starts it anew.") from None


@app.command()
def check() -> None:
    """Measure again the ratios that matter, in minutes; fails when a bar is missed."""
    from benchmarks import bars

    bars.check()


@app.command()
def keep(profile: Profile = "quick") -> None:
    """Store the measurements of a finished run in benchmarks/results, and show them in benchmarks/README.md."""
    from benchmarks import report

    report.keep(profile)


@app.command()
def table() -> None:
    """Write the tables of benchmarks/README.md anew, from benchmarks/results."""
    from benchmarks import report

    report.write_readme()


if __name__ == "__main__":
    run_command_line(app)
