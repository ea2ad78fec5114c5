"""The error of this package's boundaries."""


class FamilyError(ValueError):
    """A task family, a task or a parameter range cannot be used as asked.

    The message names the value, what is allowed and what to do.
    """
