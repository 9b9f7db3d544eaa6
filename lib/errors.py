"""The one exception that is meant for people."""


class UserError(Exception):
    """Something a person can put right: one clear sentence, and the remedy.

    The command line prints the message alone; notebooks show it as the last line of the traceback.
    """
