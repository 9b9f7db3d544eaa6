"""Exceptions that are meant for people."""


class Brief:
    """Mixed into an exception whose message is all that a person needs: a notebook shows it without a traceback."""

    def _render_traceback_(self) -> list[str]:  # IPython asks for it
        return [str(self)]


class UserError(Brief, Exception):
    """Something a person can put right: one clear sentence, and the remedy.

    The command line and notebooks print the message alone.
    """


class NoRoom(UserError):
    """Nothing can be written, most likely because the disk is full: whatever is trained next would be lost."""
