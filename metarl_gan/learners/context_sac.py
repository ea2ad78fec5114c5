"""Context SAC: off-policy, adapting by knowing the task; most of what it learns from is generated.

PEARL's idea (Rakelly et al. 2019) on the generator's own encodings: policy and critics take the
encoding of a context, adapting is to infer it. Between meta-batches the critics and the policy
learn from replay, from cross-task relabelling and from short branched rollouts.
"""

from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from metarl_gan.agents.networks import Parameters, expand_over_tasks
from metarl_gan.agents.optimisers import optimiser_tensors, restore_optimiser, with_prefix
from metarl_gan.agents.player import Player
from metarl_gan.agents.soft_actor_critic import (
    SacRows,
    SacSettings,
    SoftActorCritic,
    initial_critics,
)
from metarl_gan.agents.squashed_gaussian import SquashedGaussianPolicy
from metarl_gan.config import Config
from metarl_gan.data_augmentation import Mixture
from metarl_gan.dreams import GeneratedDream
from metarl_gan.envs.stepping.vector import TaskVectorEnv
from metarl_gan.envs.transitions import Transitions
from metarl_gan.gan import ConditionalGAN, TaskContext
from metarl_gan.learners.generated_rows import FlatRows, branched, real_rows, relabelled
from metarl_gan.learners.inferring_player import InferringPlayer
from metarl_gan.learners.task_imagination import learn_in_imagination
from metarl_gan.learners.virtual_tasks import with_virtual_tasks
from metarl_gan.meta_learner import Adapted, Experience, MetaLearner
from metarl_gan.transition_space import Rows

SHARE_MEMORY = 0.5
"""Of the share so far in the share that a meta-iteration learns with: one batch of tasks is few."""
MAX_PRIORS = 64
"""Encodings of training tasks that are kept to begin a task with."""


@dataclass(frozen=True, kw_only=True)
class _TakenIn:
    """Replayed tasks, virtual ones after them, and some contexts that each is taken in by."""

    contexts: list[TaskContext]
    stored: Transitions
    real: FlatRows


@dataclass(frozen=True, kw_only=True)
class _Material:
    """What updates draw from: rows, and encodings `[contexts, tasks, size]`."""

    real: FlatRows
    generated: FlatRows | None
    encodings: Tensor


@final
class ContextSac(MetaLearner):
    """Soft actor-critic on observations and encodings, shared by all tasks.

    A new task is begun with another task's encoding: Thompson's way to explore. Adapting infers
    its own from what was played and, if asked to, goes on learning in imagination.
    """

    explores_adapted = True

    def __init__(
        self,
        policy: SquashedGaussianPolicy,
        gan: ConditionalGAN,
        config: Config,
        stream: torch.Generator,
    ) -> None:
        self.policy, self.config = policy, config
        self._gan = gan
        critics = initial_critics(
            config.sac.critics,
            policy.n_inputs + policy.encoding_size + policy.n_actions,
            config.sac.hidden_sizes,
            stream,
        )
        settings = SacSettings(
            discount=config.learner.discount,
            polyak=config.sac.polyak,
            learning_rate=config.sac.learning_rate,
        )
        initial = policy.initial_parameters(stream)
        network = {name: value for name, value in initial.items() if name != "encoding"}
        self.sac = SoftActorCritic(
            policy, expand_over_tasks(network, 1), expand_over_tasks(critics, 1), settings
        )
        device = stream.device
        self._priors = torch.zeros(MAX_PRIORS, policy.encoding_size, device=device)
        self._share = torch.zeros((), device=device)
        self._reward_share = torch.zeros((), device=device)
        self._real_steps = torch.zeros((), dtype=torch.long, device=device)
        self._updates = torch.zeros((), dtype=torch.long, device=device)

    def initial_policy(self, n_tasks: int) -> dict[str, Tensor]:
        parameters = self._parameters(self._priors[torch.arange(n_tasks) % MAX_PRIORS])
        return self.sac.policy.widened(parameters, self.config.sac.first_log_std)

    @torch.no_grad()
    def player(
        self,
        venv: TaskVectorEnv,
        parameters: Parameters | None,
        generator: torch.Generator,
        *,
        deterministic: bool = False,
    ) -> Player:
        every_steps = self.config.sac.infer_every_steps
        if parameters is not None or not every_steps or not self._gan.trained:
            return super().player(venv, parameters, generator, deterministic=deterministic)
        return InferringPlayer(
            venv,
            self.sac.policy,
            self._gan,
            self.initial_policy(len(venv.tasks)),
            generator,
            every_steps=every_steps,
            deterministic=deterministic,
        )

    def adapt(self, mixture: Mixture, n_tasks: int) -> Adapted:
        if mixture.context is None:
            return Adapted(parameters=self.initial_policy(n_tasks))
        parameters = self._parameters(mixture.context.encoding)
        dream, share = mixture.dream, mixture.share
        if self.config.sac.task_updates and isinstance(dream, GeneratedDream):
            learnt = learn_in_imagination(self.sac, dream, mixture.support, share, self.config.sac)
            generated = share > 0
            for name, value in learnt.items():
                trusted = generated.view(-1, *[1] * (value.ndim - 1))
                parameters[name] = torch.where(trusted, value, parameters[name])
        return Adapted(parameters=parameters)

    def update(self, experience: Experience, stream: torch.Generator) -> dict[str, float]:
        """Learn from everything in replay, for as many updates as real steps have come in."""
        new_steps = experience.support.n_valid() + experience.query.n_valid()
        self._real_steps += new_steps
        memory = SHARE_MEMORY if int(self._updates) else 0.0
        self._share.lerp_(experience.share.mean(), 1.0 - memory)
        self._reward_share.lerp_(experience.reward_share.mean(), 1.0 - memory)
        if int(self._real_steps) < self.config.sac.warm_up_real_steps:
            return {}
        assert experience.replay is not None  # a GAN learns, if only to encode
        n_updates = round(self.config.sac.updates_per_real_step * new_steps)
        if int(self._updates) == 0:
            n_updates = self.config.sac.initial_updates
        seeds = torch.randint(2**62, (3,), generator=stream, device=stream.device).tolist()
        streams = [torch.Generator(device=stream.device).manual_seed(seed) for seed in seeds]
        stored = _some_tasks(experience.replay.stored(), self.config.sac.replayed_tasks, streams[0])
        tasks, losses = self._taken_in(stored, streams[0], streams[1]), {}
        most = self.config.sac.generate_every_updates or max(1, n_updates)
        for done in range(0, n_updates, most):
            material = self._material(tasks, streams[1])
            losses = self._learn(material, min(most, n_updates - done), streams[2])
        return losses

    def tensors(self) -> dict[str, Tensor]:
        optimiser = optimiser_tensors(self.sac.optimiser)
        return {
            **self.sac.tensors(),
            **self._progress(),
            **{f"optimiser.{name}": value for name, value in optimiser.items()},
        }

    @torch.no_grad()
    def restore(self, tensors: Parameters) -> None:
        self.sac.restore(tensors)
        for name, value in self._progress().items():
            value.copy_(tensors[name])
        restore_optimiser(self.sac.optimiser, with_prefix(tensors, "optimiser."))

    def _progress(self) -> dict[str, Tensor]:
        """What a checkpoint holds beside networks and optimiser."""
        progress = {
            "priors": self._priors,
            "share": self._share,
            "real_steps": self._real_steps,
            "updates": self._updates,
        }
        if self.config.sac.relabel == "rewards":
            progress["reward_share"] = self._reward_share
        return progress

    def _parameters(self, encoding: Tensor) -> dict[str, Tensor]:
        actor = {name: value.detach()[0] for name, value in self.sac.actor.items()}
        return {**expand_over_tasks(actor, len(encoding)), "encoding": encoding}

    def _taken_in(
        self, stored: Transitions, of_contexts: torch.Generator, of_rows: torch.Generator
    ) -> _TakenIn:
        """Tasks to learn from. Contexts have a stream of their own: all arms see the same ones."""
        settings = self.config.sac
        contexts = [self._contexts(stored, of_contexts) for _ in range(settings.encodings_per_task)]
        self._keep_priors(contexts[0].encoding, of_contexts)
        real = real_rows(stored)
        if self._generated_share() > 0 and settings.virtual_tasks:
            contexts, stored = with_virtual_tasks(contexts, stored, settings.virtual_tasks, of_rows)
        return _TakenIn(contexts=contexts, stored=stored, real=real)

    def _material(self, tasks: _TakenIn, stream: torch.Generator) -> _Material:
        """Rows to learn from; those that are generated are of the policy as it is now."""
        contexts, stored, settings = tasks.contexts, tasks.stored, self.config.sac
        encodings = torch.stack([context.encoding for context in contexts])
        share, relabelled_share = self._generated_share(), self._relabelled_share()
        if share <= 0:
            return _Material(real=tasks.real, generated=None, encodings=encodings)
        parts = []
        if n_relabelled := round(settings.relabelled_rows * relabelled_share / share):
            rewards_only = settings.relabel == "rewards"
            parts.append(
                relabelled(
                    self._gan, contexts, stored, n_relabelled, stream, rewards_only=rewards_only
                )
            )
        if n_branched := round(settings.branched_rows * float(self._share) / share):
            actor = {name: value.detach() for name, value in self.sac.actor.items()}
            n_steps = settings.branch_steps
            parts.append(
                branched(
                    self._gan, contexts, self.policy, actor, stored, n_branched, n_steps, stream
                )
            )
        generated = FlatRows.join(parts) if parts else None
        return _Material(real=tasks.real, generated=generated, encodings=encodings)

    def _generated_share(self) -> float:
        """Of a batch: what the more trusted kind may have; of the other there is less among it."""
        return max(float(self._share), self._relabelled_share())

    def _relabelled_share(self) -> float:
        rewards_only = self.config.sac.relabel == "rewards"
        return float(self._reward_share if rewards_only else self._share)

    def _contexts(self, stored: Transitions, stream: torch.Generator) -> TaskContext:
        """One context per task: some rows of one of its episodes, taken in as a new task's are."""
        lengths = stored.valid.sum(-1)
        episode = torch.multinomial((lengths > 0).float(), 1, generator=stream)
        size = min(self.config.adversarial.max_context, stored.rewards.shape[2])
        key = torch.rand(
            (stored.n_tasks, stored.rewards.shape[2]), generator=stream, device=stream.device
        )
        tasks = torch.arange(stored.n_tasks, device=stream.device).unsqueeze(-1)
        key = key + (~stored.valid[tasks, episode].squeeze(1)).float()
        steps = key.argsort(-1)[:, :size]
        rows = self._gan.space.rows(stored)
        chosen = {name: value[tasks, episode, steps] for name, value in vars(rows).items()}
        return self._gan.take_in(Rows(**chosen))

    def _keep_priors(self, encodings: Tensor, stream: torch.Generator) -> None:
        order = torch.randperm(len(encodings), generator=stream, device=stream.device)
        self._priors.copy_(encodings[order[torch.arange(MAX_PRIORS) % len(order)]])

    def _learn(
        self, material: _Material, n_updates: int, stream: torch.Generator
    ) -> dict[str, float]:
        size = self.config.sac.batch_size
        n_generated = round(size * self._generated_share()) if material.generated is not None else 0
        losses: dict[str, Tensor] = {}
        for index in range(n_updates):
            batch = self._batch(material, size - n_generated, n_generated, stream)
            noise = torch.randn(
                (2, 1, size, self.sac.policy.n_actions), generator=stream, device=stream.device
            )
            actor_too = index % self.config.sac.actor_every == 0
            losses |= self.sac.update(batch, (noise[0], noise[1]), actor_too=actor_too)
        self._updates += n_updates
        named = {name: float(value) for name, value in losses.items()}
        return {
            **named,
            "sac_updates": float(self._updates),
            "sac_share": n_generated / size,
        }

    def _batch(
        self, material: _Material, n_real: int, n_generated: int, stream: torch.Generator
    ) -> SacRows:
        def drawn(rows: FlatRows, n_rows: int) -> FlatRows:
            index = torch.randint(len(rows), (n_rows,), generator=stream, device=stream.device)
            return rows.take(index)

        rows = drawn(material.real, n_real)
        if material.generated is not None and n_generated:
            rows = FlatRows.join([rows, drawn(material.generated, n_generated)])
        any_context = torch.randint(
            len(material.encodings), rows.context.shape, generator=stream, device=stream.device
        )
        context = torch.where(rows.context < 0, any_context, rows.context)
        encoding = material.encodings[context, rows.task]
        return SacRows(
            inputs=self.sac.policy.inputs(rows.observations, encoding).unsqueeze(0),
            actions=self.sac.policy.from_space(rows.actions).clamp(-1.0, 1.0).unsqueeze(0),
            rewards=rows.rewards.unsqueeze(0),
            next_inputs=self.sac.policy.inputs(rows.next_observations, encoding).unsqueeze(0),
            continues=rows.continues.unsqueeze(0),
        )


def _some_tasks(stored: Transitions, most: int, stream: torch.Generator) -> Transitions:
    """All tasks, or as many as `most` of them at random."""
    if stored.n_tasks <= most:
        return stored
    order = torch.randperm(stored.n_tasks, generator=stream, device=stream.device)
    return stored.select(order[:most])
