"""The command line: python -m benchmarks."""

import shutil
import sys
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import typer

from lib.system.errors import UserError

FOLDER = Path(__file__).parent
app = typer.Typer(
    help="Speed of the training loop beside the field's loops.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


@app.command()
def run(
    profile: Annotated[str, typer.Option(help="A file of benchmarks/params/: smoke or quick.")] = "quick",
) -> None:
    """Execute the benchmark notebook and write outputs/benchmark/<profile>/report.html and report.pdf."""
    from benchmarks import contenders, kept
    from lib import data
    from lib.notebook import parameters
    from lib.report import document, front, runner
    from lib.system import device, paths

    notebook = FOLDER / "benchmark.ipynb"
    values = parameters.read(FOLDER / "params" / f"{profile}.yaml", notebook) | {"profile": profile}
    contenders.check_installed()
    data.load(values["dataset"])
    folder = kept.folder(profile)
    shutil.rmtree(folder, ignore_errors=True)  # measurements of two runs do not belong together
    try:
        execution = runner.execute(notebook, values, folder / "benchmark.ipynb", "benchmark")
    except KeyboardInterrupt:
        raise UserError("Stopped. A benchmark is measured in one go: the same command starts it anew.") from None
    if execution.failure:
        raise UserError(f"benchmark: {execution.failure} See {paths.shown(execution.path)}.")
    machine = device.describe()
    meta = document.DocumentMeta(
        title="Speed of the training loop",
        date=datetime.now(UTC).strftime("%Y-%m-%d"),
        commit=front.commit(),
        profile=profile,
        machine=f"{machine['device']}, {machine['cores']} cores, {machine['platform']}",
        versions={name: version(name) for name in ("torch", "torchvision", "pytorch-lightning")},
    )
    html, pdf = document.write_report(document.assemble([execution.path], meta), folder)
    print(f"report: {paths.shown(html)} and {paths.shown(pdf)}")


@app.command()
def check() -> None:
    """Measure the ratios that matter again, in minutes; exit with 1 where one is missed."""
    from benchmarks import bars

    bars.check()


@app.command()
def table() -> None:
    """Write the kept results of the last full run into benchmarks/README.md."""
    from benchmarks import results

    results.write_readme()


def main() -> None:
    """Run the command line; an error that a person can put right is one sentence."""
    try:
        app()
    except UserError as error:
        sys.exit(f"{error}")


if __name__ == "__main__":
    main()
