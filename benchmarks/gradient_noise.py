"""How much of an inner gradient is signal, by discount and lambda of the advantages.

    python benchmarks/gradient_noise.py --family point-goal

For a centred policy on training tasks: cosine of the gradient from 1 and from 20 real episodes to
that from many more, and whether the discount turns the direction. Nothing is learnt here.
"""

import argparse
import os
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import torch
from torch import Tensor

from metarl_gan.agents.collector import collect
from metarl_gan.agents.networks import Parameters, expand_over_tasks
from metarl_gan.agents.policies import Policy, make_policy
from metarl_gan.agents.policy_gradient import MixedRows, PolicyRows, policy_gradient
from metarl_gan.envs import Task, TaskFamily, make_family
from metarl_gan.envs.transitions import Transitions
from metarl_gan.report_files import installed_versions, write_json

RESULTS = Path(__file__).parent / "results" / "gradient_noise"
N_TASKS, TASK_SEED, POLICY_SEED = 12, 777, 3
REFERENCE_CHUNKS, CHUNK_EPISODES, SMALL_EPISODES, REPEATS = 20, 50, 20, 3
SETTINGS = [(0.99, 0.95), (0.99, 0.5), (0.97, 0.95), (0.95, 0.95), (0.95, 0.5), (0.9, 0.95)]
UNBIASED = (0.99, 0.95)


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--family", default="point-goal")
    options = parser.parse_args()
    torch.set_num_threads(1)
    family = make_family(options.family)
    tasks = family.sample(N_TASKS, split="train", seed=TASK_SEED)
    policy = make_policy(family.observation_space, family.action_space)
    fresh = policy.initial_parameters(torch.Generator().manual_seed(POLICY_SEED))
    rows = measure(family, tasks, policy, expand_over_tasks(fresh, N_TASKS))
    for row in rows:
        print("  ".join(f"{name} {value:.2f}" for name, value in row.items()))
    write_json(
        RESULTS / f"{options.family}.json",
        {
            "command": f"python benchmarks/gradient_noise.py --family {options.family}",
            "reference_episodes": REFERENCE_CHUNKS * CHUNK_EPISODES,
            "tasks": [task.id for task in tasks],
            "versions": installed_versions(),
            "cosines": rows,
        },
    )


def measure(
    family: TaskFamily, tasks: list[Task], policy: Policy, parameters: Parameters
) -> list[dict[str, float]]:
    """One row per setting: cosines to the reference of the same setting, mean over tasks."""
    reference = dict.fromkeys(SETTINGS, torch.zeros(()))
    for chunk in range(REFERENCE_CHUNKS):
        batch = play(family, tasks, policy, parameters, CHUNK_EPISODES, seed=100 + chunk)
        for setting in SETTINGS:
            reference[setting] = reference[setting] + gradient(policy, parameters, batch, setting)
    few = [
        play(family, tasks, policy, parameters, SMALL_EPISODES, seed=10 + repeat)
        for repeat in range(REPEATS)
    ]
    rows = []
    for setting in SETTINGS:
        many = [gradient(policy, parameters, batch, setting) for batch in few]
        one = [gradient(policy, parameters, b.take_envs(slice(1)), setting) for b in few]
        rows.append(
            {
                "discount": setting[0],
                "gae_lambda": setting[1],
                "cosine_1_episode": mean_cosine(one, reference[setting]),
                f"cosine_{SMALL_EPISODES}_episodes": mean_cosine(many, reference[setting]),
                f"cosine_to_discount_{UNBIASED[0]}": mean_cosine(
                    [reference[setting]], reference[UNBIASED]
                ),
            }
        )
    return rows


def play(
    family: TaskFamily,
    tasks: list[Task],
    policy: Policy,
    parameters: Parameters,
    episodes: int,
    *,
    seed: int,
) -> Transitions:
    """Real episodes of every task."""
    generator = torch.Generator().manual_seed(seed)
    venv = family.make_vec(tasks, episodes)
    return collect(venv, policy, parameters, generator, seed=seed).batch


def gradient(
    policy: Policy, parameters: Parameters, batch: Transitions, setting: tuple[float, float]
) -> Tensor:
    """Inner gradients, `[tasks, parameters]`."""
    discount, gae_lambda = setting
    rows = PolicyRows.from_transitions(batch, discount=discount, gae_lambda=gae_lambda)
    by_name = policy_gradient(policy, parameters, MixedRows(real=rows), 10.0)
    return torch.cat([value.detach().flatten(1) for value in by_name.values()], dim=1)


def mean_cosine(gradients: list[Tensor], reference: Tensor) -> float:
    """Mean over repeats and tasks."""
    cosines = [torch.cosine_similarity(value, reference, dim=1) for value in gradients]
    return float(torch.stack(cosines).mean())


if __name__ == "__main__":
    main()
