"""`jupyter nbconvert` with one of these exporters: a notebook that fails does not stop the others of the call."""

import sys
from typing import Any

from traitlets.config import Application

from nbconvert_typst.errors import ExportError


def running_nbconvert() -> Application | None:
    """Return the application where this process is `jupyter nbconvert`; None in a server and from Python."""
    # Its module makes a list of the exporters while it is imported; so it is looked up, not imported.
    application = getattr(sys.modules.get("nbconvert.nbconvertapp"), "NbConvertApp", None)
    if application is None or not Application.initialized():
        return None
    app = Application.instance()
    return app if isinstance(app, application) else None


def go_on_after_failures(ours: type) -> None:
    """Let a running nbconvert report a failure in one sentence, go on, and end with exit status 1.

    By itself it prints a traceback and ends at the first failure. ours: the class of the exporters that this holds for.
    """
    app: Any = running_nbconvert()
    if app is None or "convert_single_notebook" in vars(app):
        return
    failed: list[str] = []
    seen: list[str] = []

    def export(name: str, resources: dict[str, Any], input_buffer: Any = None) -> tuple[Any, dict[str, Any]]:
        if not isinstance(app.exporter, ours):
            return type(app).export_single_notebook(app, name, resources, input_buffer)
        if input_buffer is not None:
            return app.exporter.from_file(input_buffer, resources=resources)
        return app.exporter.from_filename(name, resources=resources)

    def convert(name: str, input_buffer: Any = None) -> None:
        seen.append(name)
        try:
            type(app).convert_single_notebook(app, name, input_buffer)
            if isinstance(app.exporter, ours) and app.exporter.strict and app.exporter.reading.problems:
                failed.append(name)
        except ExportError as error:
            app.log.error("%s was not converted: %s", name, error)
            failed.append(name)
        except OSError as error:
            if not isinstance(app.exporter, ours):
                raise
            app.log.error("%s was not written: %s", name, error)
            failed.append(name)
        if failed and (app.from_stdin or len(seen) == len(app.notebooks)):
            app.exit(1)

    app.export_single_notebook, app.convert_single_notebook = export, convert
