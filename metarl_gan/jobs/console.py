"""What commands of many jobs say."""

import sys
from collections.abc import Sequence

from metarl_gan.jobs.pool import Failure

FAILED = 1
"""Exit code where a job failed."""


def say(line: str) -> None:
    """Print a line at once, into a pipe too."""
    print(line, flush=True)


def end_on_failures(failures: Sequence[Failure]) -> None:
    """Show the end of the log of each, if there is any, and end the command with 1."""
    if not failures:
        return
    for failure in failures:
        print(
            f"\n{failure.work.name} failed with exit code {failure.code}; the end of "
            f"{failure.work.log}:\n{failure.tail}",
            file=sys.stderr,
        )
    print("\nthe same command tries again what failed, and skips what is done", file=sys.stderr)
    raise SystemExit(FAILED)
