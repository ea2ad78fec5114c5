"""A job: one run by its settings, done by a process of its own, and where its numbers go."""

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from metarl_gan.config_error import ConfigError, require
from metarl_gan.jobs.pool import Failure, Work, run_all
from metarl_gan.report_files import write_json

SHOWN = 3
"""Most settings that an error names as different."""


@dataclass(frozen=True, kw_only=True)
class Job(ABC):
    """What all jobs have.

    Args:
        run: the run folder.
        result: the file of the numbers.
        command: the command that all the jobs are of.
    """

    run: Path
    result: Path
    command: str

    @property
    @abstractmethod
    def name(self) -> str:
        """For people: `gan, seed 3`."""

    @property
    @abstractmethod
    def threads(self) -> int:
        """Of its process."""

    @abstractmethod
    def content(self) -> dict[str, object]:
        """The job as plain data, for the process that does it."""

    @abstractmethod
    def is_done(self) -> bool:
        """Whether there is a result, of this very job.

        Raises:
            ConfigError: when the result or the run that is there is of other settings.
        """

    @property
    def stem(self) -> Path:
        """The path, but for its suffix, of the job's files beside its run folder."""
        return self.run.with_name(f"job-{self.run.name}")

    def write(self) -> Path:
        """Save the job for the process that does it."""
        paths = {"run": str(self.run), "result": str(self.result), "command": self.command}
        return write_json(self.stem.with_suffix(".json"), {**self.content(), **paths})


def carry_out(
    jobs: Sequence[Job],
    worker: str,
    *,
    processes: int,
    say: Callable[[str], None],
    begin: Callable[[], None] = lambda: None,
) -> tuple[Failure, ...]:
    """Do those jobs that have no result yet, and return those that failed.

    Args:
        jobs: all that there are.
        worker: the module whose process takes a job's file.
        processes: how many at a time.
        say: takes a line on each job that starts or ends.
        begin: called when it is known that nothing stands in the way.

    Raises:
        ConfigError: as `Job.is_done` does; nothing is started then.
        KeyboardInterrupt: after Ctrl-C or SIGTERM, once every process has ended.
    """
    require(processes >= 1, "jobs", processes, "at least 1")
    waiting = [job for job in jobs if not job.is_done()]
    begin()
    if len(waiting) < len(jobs):
        say(f"{len(jobs) - len(waiting)} of {len(jobs)} jobs have their result already")
    return run_all([_work(job, worker) for job in waiting], processes, say)


def _work(job: Job, worker: str) -> Work:
    return Work(
        name=job.name,
        module=worker,
        argument=str(job.write()),
        log=job.stem.with_suffix(".log"),
        threads=job.threads,
    )


def read_object(path: Path) -> dict[str, Any]:
    """The object in a JSON file that a job wrote. Raises `ConfigError` where there is none."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not a JSON file ({error}); remove it") from None
    if not isinstance(content, dict):
        raise ConfigError(f"{path} holds no result; remove it")
    return content


def require_same(
    path: Path,
    theirs: Mapping[str, object],
    ours: Mapping[str, object],
    usual: Mapping[str, object] | None = None,
) -> None:
    """Raise `ConfigError` unless what made `path` is what would make it now, name by name.

    Args:
        path: to name in the error.
        theirs: what made it.
        ours: what would make it now.
        usual: what a setting is where nobody asks for anything else. A file made before there was
            a setting does not name it, and is taken to have had it as usual.
    """
    theirs = {**(usual or {}), **theirs}
    different = [
        f"{name} {theirs.get(name)!r}, now {value!r}"
        for name, value in ours.items()
        if theirs.get(name) != value
    ]
    if different:
        raise stale(path, f"was made with {'; '.join(different[:SHOWN])}")


def stale(path: Path, why: str) -> ConfigError:
    """The error of a file or folder that is there and of something else."""
    return ConfigError(f"{path} {why}: remove it, or give another folder")
