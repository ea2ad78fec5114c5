"""The `metarl-gan` command: finds the sub-command and reports a user's mistakes in one line.

Nothing heavy is imported here: `metarl-gan --help` must answer at once, so that each sub-command
imports what it needs when it is run.
"""

import os
import select
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module

from metarl_gan import __version__
from metarl_gan.graceful_stop import sigterm_as_ctrl_c
from metarl_gan.usage import UsageError

MISTAKE, INTERRUPTED, UNREAD = 2, 130, 141
"""Exit codes: the user can mend it; stopped by Ctrl-C (128 + SIGINT) or SIGTERM."""


@dataclass(frozen=True, kw_only=True)
class Command:
    """A sub-command: one line of help, and where the function that takes its arguments is."""

    summary: str
    home: str

    def run(self, args: Sequence[str]) -> None:
        """Import the sub-command and run it."""
        module, _, name = self.home.partition(":")
        function: Callable[[Sequence[str]], None] = getattr(import_module(module), name)
        function(args)


COMMANDS = {
    "demo": Command(
        summary="train briefly, evaluate with and without generated data, say what is next",
        home="metarl_gan.demo:demo",
    ),
    "train": Command(
        summary="meta-train an agent on a task family, or resume a run",
        home="metarl_gan.commands:train",
    ),
    "evaluate": Command(
        summary="adaptation curve on held-out tasks, with and without generated data",
        home="metarl_gan.commands:evaluate",
    ),
    "fidelity": Command(
        summary="gradients on generated data against the true ones, on held-out tasks",
        home="metarl_gan.commands:fidelity",
    ),
    "video": Command(
        summary="an agent in held-out tasks, before and after adapting, as a GIF",
        home="metarl_gan.commands:video",
    ),
    "compare": Command(
        summary="methods (maml, rl2, …) by seeds at equal real steps, and how they compare",
        home="metarl_gan.comparison.command:compare",
    ),
    "ablate": Command(
        summary="arms (none, gan, ensemble, …) by seeds at equal cost, and how they compare",
        home="metarl_gan.ablation.command:ablate",
    ),
    "report": Command(
        summary="tables of what a run folder holds", home="metarl_gan.commands:report"
    ),
    "families": Command(
        summary="the task families: ranges, splits, horizon, floors",
        home="metarl_gan.family_commands:families",
    ),
    "check": Command(
        summary="check a task family, built-in or your own",
        home="metarl_gan.family_commands:check",
    ),
    "bench": Command(
        summary="speed of collection, imagination and meta-learning on this machine",
        home="metarl_gan.commands:bench",
    ),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        argv: arguments without the program's name; those of the process by default.

    Returns:
        The exit code: 0; 2 for a mistake that the message on standard error helps to mend; 130
        after Ctrl-C or SIGTERM; 141 if nobody reads standard output any more, as after `| head`.
        Any other failure raises, and so ends with a traceback.
    """
    args = list(sys.argv[1:] if argv is None else argv)
    try:
        with sigterm_as_ctrl_c():
            _dispatch(args)
            sys.stdout.flush()
    except KeyboardInterrupt as stop:
        print(f"metarl-gan: {str(stop) or 'interrupted'}", file=sys.stderr)
        return INTERRUPTED
    except (ValueError, RuntimeError, OSError) as error:
        if isinstance(error, BrokenPipeError) and _nobody_reads():
            return UNREAD
        if not _is_mistake(error):
            raise
        print(f"metarl-gan: {_message(error)}", file=sys.stderr)
        return MISTAKE
    return 0


def _nobody_reads() -> bool:
    """Whether standard output is a pipe without a reader; some worker's may have broken instead."""
    if not hasattr(select, "poll"):  # Windows
        return False
    waiting = select.poll()
    waiting.register(sys.stdout, 0)
    if not any(event & select.POLLERR for _, event in waiting.poll(0)):
        return False
    # The interpreter would try to write what is left as it ends.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return True


def _dispatch(args: list[str]) -> None:
    if not args or args[0] in {"-h", "--help", "help"}:
        print(_overview())
    elif args[0] == "--version":
        print(f"metarl-gan {__version__}")
    elif args[0] in COMMANDS:
        COMMANDS[args[0]].run(args[1:])
    else:
        raise UsageError(_unknown_command(args[0]))


def _overview() -> str:
    width = max(map(len, COMMANDS)) + 2
    lines = [f"  {name:<{width}}{command.summary}" for name, command in COMMANDS.items()]
    return "\n".join(
        [
            "usage: metarl-gan COMMAND [options]",
            "",
            "Meta-reinforcement learning with a conditional GAN that supplies adaptation data.",
            "",
            "commands:",
            *lines,
            "",
            "metarl-gan COMMAND --help lists the options of a command.",
        ]
    )


def _unknown_command(name: str) -> str:
    import difflib

    near = difflib.get_close_matches(name, COMMANDS, n=2)
    hint = f"did you mean {' or '.join(near)}?" if near else f"there are {', '.join(COMMANDS)}"
    return f"unknown command {name!r}; {hint}"


def _is_mistake(error: Exception) -> bool:
    """Whether the user can mend it: one of our own errors, or a file that is not as it must be.

    A plain ValueError or RuntimeError comes from a mistake of ours and keeps its traceback.
    """
    if isinstance(error, OSError):
        return error.filename is not None
    return type(error).__module__.partition(".")[0] == "metarl_gan"


def _message(error: Exception) -> str:
    if isinstance(error, OSError):
        return f"{error.filename}: {error.strerror}"
    return str(error)
