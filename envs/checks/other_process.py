"""What a family draws and plays in another process, where Python hashes differently.

`python -m metarl_gan.envs.checks.other_process` is that process: it reads from its parent which
family, and writes what it saw.
"""

import contextlib
import json
import os
import pickle
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np

from metarl_gan.envs.checks.trace import Trace, play, seed_global_generators
from metarl_gan.envs.errors import FamilyError
from metarl_gan.envs.family import TaskFamily
from metarl_gan.envs.stepping.freight import Freight

_ANSWER = "metarl-gan-answer: "  # environments print as well


class OtherProcessError(RuntimeError):
    """The other process has no answer."""


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What another process saw: ids of tasks by split, and an episode of the first of train."""

    ids: dict[str, list[str]]
    trace: Trace


class OtherProcess:
    """Draws tasks and plays an episode in another process, while this one does something else.

    Args:
        family: Where tasks are drawn from.
        n_tasks: How many are drawn from each split.
        steps: The longest that the first train task is played.
        seed: Of tasks, environment and actions.
    """

    def __init__(self, family: TaskFamily, *, n_tasks: int, steps: int, seed: int) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._error = ""
        # A pipe would block until the other process has imported what it needs to read it.
        with tempfile.TemporaryFile() as request:
            try:
                freight = Freight.of(family)
            except FamilyError as error:
                self._error = str(error)
                return
            pickle.dump((freight.specs, freight.family, n_tasks, steps, seed), request)
            request.seek(0)
            self._process = subprocess.Popen(
                [sys.executable, "-m", __name__],
                stdin=request,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=_environment(),
            )

    def answer(self, timeout_s: float) -> Seen:
        """What it saw.

        Raises `OtherProcessError` where there is no answer, `TimeoutError` where there is none yet.
        """
        if self._process is None:
            raise OtherProcessError(self._error)
        try:
            output, errors = self._process.communicate(timeout=timeout_s)
        except subprocess.TimeoutExpired as error:
            raise TimeoutError(f"no answer within {timeout_s:.0f} s more") from error
        lines = output.decode(errors="replace").splitlines()
        answers = [line for line in lines if line.startswith(_ANSWER)]
        if not answers:
            last = errors.decode(errors="replace").strip().splitlines()[-1:]
            code = self._process.returncode
            raise OtherProcessError(f"it ended with code {code}: {' '.join(last)}")
        answer = json.loads(answers[-1].removeprefix(_ANSWER))
        trace = Trace(
            observations=np.array(answer["observations"], np.float64),
            rewards=np.array(answer["rewards"], np.float64),
            terminated=answer["terminated"],
            truncated=answer["truncated"],
        )
        return Seen(ids=answer["ids"], trace=trace)

    def close(self) -> None:
        """End it, whether or not it has answered."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()


def _environment() -> dict[str, str]:
    hash_seed = "2" if os.environ.get("PYTHONHASHSEED") == "1" else "1"
    path = os.pathsep.join(entry or str(Path.cwd()) for entry in sys.path)
    return {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": path}


def _answer() -> None:
    specs, packed, n_tasks, steps, seed = _unpacked(sys.stdin.buffer.read())
    for known in specs:
        with contextlib.suppress(Exception):
            spec = _unpacked(known).fn
            gymnasium.registry.setdefault(spec.id, spec)
    family: TaskFamily = _unpacked(packed).fn
    drawn = {split: family.sample(n_tasks, split=split, seed=seed) for split in family.splits}
    seed_global_generators(0)
    trace = play(family.make(drawn["train"][0]), steps=steps, seed=seed)
    answer = {
        "ids": {split: [task.id for task in tasks] for split, tasks in drawn.items()},
        "observations": trace.observations.tolist(),
        "rewards": trace.rewards.tolist(),
        "terminated": trace.terminated,
        "truncated": trace.truncated,
    }
    print(f"\n{_ANSWER}{json.dumps(answer)}", flush=True)


def _unpacked(content: bytes) -> Any:  # noqa: ANN401 - whatever was packed
    return pickle.loads(content)  # noqa: S301 - our own parent wrote it


if __name__ == "__main__":
    _answer()
