"""The error of a command line, apart from the commands, so that all of them can raise it."""


class UsageError(ValueError):
    """A command line that asks for nothing that can be done."""
