"""The process of a job: it does what a file says, and can be stopped."""

import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from metarl_gan.graceful_stop import sigterm_as_ctrl_c

INTERRUPTED = 130


def obey(argv: Sequence[str], work: Callable[[Path], None]) -> int:
    """Do the work that the file `argv[0]` describes; 130 after Ctrl-C or SIGTERM."""
    try:
        with sigterm_as_ctrl_c():
            work(Path(argv[0]))
    except KeyboardInterrupt as stop:
        print(str(stop) or "interrupted", file=sys.stderr)
        return INTERRUPTED
    return 0
