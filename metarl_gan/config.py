"""Every setting of a run: frozen dataclasses, each default written once, contradictions refused.

The dotted names of these fields (`learner.inner_steps`) are the names in YAML files, on the
command line, in `train(config={...})` and in a run's `config.json`.
"""

from dataclasses import dataclass, field
from typing import Literal


class ConfigError(ValueError):
    """A setting that is unknown, of the wrong type, out of range, or contradicts another."""


def _require(condition: bool, name: str, value: object, allowed: str) -> None:
    if not condition:
        raise ConfigError(f"{name} is {value!r}; it must be {allowed}")


@dataclass(frozen=True, kw_only=True)
class SamplerConfig:
    """TaskSampler: which tasks a meta-batch holds and how many real episodes each plays."""

    tasks_per_batch: int = 20
    support_episodes: int = 1
    """Real episodes per task that the inner loop adapts on."""
    query_episodes: int = 2
    """Real episodes per task of the adapted policy that the outer loop learns from."""
    train_tasks: int = 0
    """Size of the fixed set of training tasks; 0 draws fresh tasks for every batch."""
    validation_tasks: int = 20
    """Tasks of the train split that are kept out of training, for choosing a checkpoint."""

    def __post_init__(self) -> None:
        for name in ("tasks_per_batch", "support_episodes", "query_episodes", "validation_tasks"):
            value = getattr(self, name)
            _require(value >= 1, f"sampler.{name}", value, "at least 1")
        _require(self.train_tasks >= 0, "sampler.train_tasks", self.train_tasks, "0 or more")


@dataclass(frozen=True, kw_only=True)
class PolicyConfig:
    """The policy network that the inner loop adapts."""

    hidden_sizes: tuple[int, ...] = (64, 64)
    activation: Literal["tanh", "relu", "silu"] = "tanh"
    initial_std: float = 0.5
    """Initial standard deviation of continuous actions, in half ranges of the action space."""
    normalise_observations: bool = True
    """Standardise observations by what training has seen so far."""

    def __post_init__(self) -> None:
        sizes = self.hidden_sizes
        _require(all(size >= 1 for size in sizes), "policy.hidden_sizes", sizes, "widths >= 1")
        _require(self.initial_std > 0, "policy.initial_std", self.initial_std, "positive")


@dataclass(frozen=True, kw_only=True)
class LearnerConfig:
    """MetaLearner: the inner loop that adapts and the outer loop that learns where from."""

    algorithm: Literal["maml", "fomaml", "reptile"] = "maml"
    inner_steps: int = 5
    """Policy-gradient steps per adaptation, each on fresh imagination."""
    inner_lr: float = 0.05
    learn_inner_lr: bool = True
    """Let the outer loop learn one inner step size per parameter tensor (Li et al. 2017)."""
    inner_clip: float = 10.0
    """Clip of the importance ratio in the inner loop."""
    outer_lr: float = 1e-3
    outer_epochs: int = 4
    """Outer gradient steps per meta-batch."""
    outer_clip: float = 0.2
    """Clip of the importance ratio in the outer loop."""
    max_grad_norm: float = 1.0
    discount: float = 0.97
    gae_lambda: float = 0.95
    entropy_bonus: float = 0.0
    reptile_step: float = 0.5
    """Share of the way to the adapted parameters that Reptile goes per meta-batch."""

    def __post_init__(self) -> None:
        for name in ("inner_steps", "outer_epochs"):
            value = getattr(self, name)
            _require(value >= 1, f"learner.{name}", value, "at least 1")
        for name in ("inner_lr", "outer_lr", "inner_clip", "outer_clip", "max_grad_norm"):
            value = getattr(self, name)
            _require(value > 0, f"learner.{name}", value, "positive")
        for name in ("discount", "gae_lambda", "reptile_step"):
            value = getattr(self, name)
            _require(0 < value <= 1, f"learner.{name}", value, "above 0 and at most 1")


@dataclass(frozen=True, kw_only=True)
class EncoderConfig:
    """The context encoder: from real transitions of a task to its encoding."""

    encoding_size: int = 8
    hidden_sizes: tuple[int, ...] = (128, 128)
    min_context: int = 5
    """Fewest transitions that a context is trained with and accepted with."""

    def __post_init__(self) -> None:
        for name in ("encoding_size", "min_context"):
            value = getattr(self, name)
            _require(value >= 1, f"encoder.{name}", value, "at least 1")


@dataclass(frozen=True, kw_only=True)
class GeneratorConfig:
    """The generator G(s, a, encoding, z) of next state, reward and termination."""

    hidden_sizes: tuple[int, ...] = (128, 128)
    noise_size: int = 2
    """Size of z; 0 makes the generator deterministic."""
    residual: bool = True
    """Predict the change of state rather than the next state."""
    adaptation: Literal["none", "inversion"] = "inversion"
    """Refine a task's encoding by gradient through the frozen generator, or not."""
    inversion_steps: int = 20
    inversion_lr: float = 0.05

    def __post_init__(self) -> None:
        _require(self.noise_size >= 0, "generator.noise_size", self.noise_size, "0 or more")
        steps = self.inversion_steps
        _require(steps >= 1, "generator.inversion_steps", steps, "at least 1")
        _require(self.inversion_lr > 0, "generator.inversion_lr", self.inversion_lr, "positive")


@dataclass(frozen=True, kw_only=True)
class DiscriminatorConfig:
    """The discriminator D(s, a, s', r, terminated | encoding)."""

    hidden_sizes: tuple[int, ...] = (128, 128)
    spectral_norm: bool = True


@dataclass(frozen=True, kw_only=True)
class AdversarialConfig:
    """How generator, discriminator and context encoder are trained."""

    updates_per_iteration: int = 80
    initial_updates: int = 400
    """Updates in the first iteration, so that its successors can imagine."""
    tasks_per_update: int = 32
    targets_per_task: int = 16
    max_context: int = 100
    """Most transitions of one episode that a context is trained with."""
    learning_rate: float = 2e-3
    adversarial_weight: float = 0.02
    """Weight of the adversarial term against the reconstruction anchor; 0 switches it off."""
    state_weight: float = 1.0
    reward_weight: float = 8.0
    terminated_weight: float = 1.0
    discriminator_every: int = 2
    counterfactual_share: float = 0.0
    """Share of updates with counterfactual contexts: other tasks' (s, a, s') under this task's
    reward head, so that the encoder learns the task rather than to recognise episodes."""
    ema_decay: float = 0.99
    """Decay of the averaged generator that imagines."""
    replay_tasks: int = 1000
    replay_episodes: int = 8

    def __post_init__(self) -> None:
        names = ("updates_per_iteration", "initial_updates", "adversarial_weight")
        for name in names:
            value = getattr(self, name)
            _require(value >= 0, f"adversarial.{name}", value, "0 or more")
        tasks = self.tasks_per_update
        # The encoder standardises over a batch of tasks.
        _require(tasks >= 2, "adversarial.tasks_per_update", tasks, "at least 2")
        for name in ("targets_per_task", "max_context", "discriminator_every"):
            value = getattr(self, name)
            _require(value >= 1, f"adversarial.{name}", value, "at least 1")
        _require(self.learning_rate > 0, "adversarial.learning_rate", self.learning_rate, "> 0")
        for name in ("counterfactual_share", "ema_decay"):
            value = getattr(self, name)
            _require(0 <= value <= 1, f"adversarial.{name}", value, "between 0 and 1")
        episodes = self.replay_episodes
        _require(episodes >= 2, "adversarial.replay_episodes", episodes, "at least 2")
        _require(self.replay_tasks >= 2, "adversarial.replay_tasks", self.replay_tasks, ">= 2")


@dataclass(frozen=True, kw_only=True)
class AugmentationConfig:
    """DataAugmentation: what share of an inner batch is generated, and how it is imagined."""

    mode: Literal["gated", "fixed", "none"] = "gated"
    """`gated` decides per task by held-out fidelity; `none` builds no generator at all."""
    share: float = 0.9
    """Share of generated data: as is when fixed, at most when gated."""
    gate_full_error: float = 0.02
    """Held-out error (share of variance left unexplained) up to which the full share is used."""
    gate_zero_error: float = 0.2
    """Held-out error from which nothing generated is used."""
    rollouts_per_task: int = 8
    """Imagined rollouts per task and inner step."""
    rollout_steps: int = 50
    """Length of an imagined rollout; 0 is the family's horizon."""
    start: Literal["initial", "own_states"] = "initial"
    """Imagine from initial states, or branch from the real states of the task's own support."""

    def __post_init__(self) -> None:
        _require(0 <= self.share <= 1, "augmentation.share", self.share, "between 0 and 1")
        rollouts = self.rollouts_per_task
        _require(rollouts >= 1, "augmentation.rollouts_per_task", rollouts, "at least 1")
        _require(self.rollout_steps >= 0, "augmentation.rollout_steps", self.rollout_steps, ">= 0")
        if not 0 <= self.gate_full_error < self.gate_zero_error:
            raise ConfigError(
                f"augmentation.gate_full_error ({self.gate_full_error}) must be 0 or more and "
                f"below augmentation.gate_zero_error ({self.gate_zero_error})"
            )


@dataclass(frozen=True, kw_only=True)
class EnvironmentsConfig:
    """How real environments are stepped. What they return under a seed does not depend on it."""

    backend: Literal["auto", "native", "sync", "async"] = "auto"
    """`native`: all as arrays; `sync`: one after the other; `async`: in other processes, where
    one that crashes or hangs costs its task alone; `auto`: native where the family has it, else
    sync, and async as soon as steps are seen to take so long that it pays."""
    step_timeout_s: float = 60.0
    """async: an environment that takes longer in a step, or ten times longer in being made or
    reset, is given up, and its task dropped from the batch."""
    processes: int | None = None
    """async: at most so many; one per processor if not given."""

    def __post_init__(self) -> None:
        timeout, processes = self.step_timeout_s, self.processes
        _require(timeout > 0, "environments.step_timeout_s", timeout, "positive")
        _require(
            processes is None or processes >= 1,
            "environments.processes",
            processes,
            "at least 1, or not given",
        )


@dataclass(frozen=True, kw_only=True)
class LoggingConfig:
    """What is validated and saved while training, and how often."""

    validate_every: int = 10
    """Meta-iterations between validations on held-out tasks of the train split; the best
    checkpoint is chosen among those validated."""
    checkpoint_every: int = 20
    """Meta-iterations between checkpoints."""
    tensorboard: bool = True

    def __post_init__(self) -> None:
        for name in ("validate_every", "checkpoint_every"):
            value = getattr(self, name)
            _require(value >= 1, f"logging.{name}", value, "at least 1")


@dataclass(frozen=True, kw_only=True)
class Config:
    """A whole run. Budgets are `iterations` and `max_real_steps`, whichever comes first."""

    family: str = "point-goal"
    seed: int = 0
    device: str = "auto"
    torch_threads: int = 1
    """Threads of torch in this process. With networks of the default size more are slower (two
    threads that wait for each other beside a busy core: 2 to 11 times); raise it for large ones."""
    iterations: int = 200
    """Meta-iterations in all."""
    max_real_steps: int | None = None
    """Real environment steps in all; no limit if not given."""
    generated: bool = True
    """Train with generated data; without, the same agent without the generator."""
    environments: EnvironmentsConfig = field(default_factory=EnvironmentsConfig)
    sampler: SamplerConfig = field(default_factory=SamplerConfig)
    policy: PolicyConfig = field(default_factory=PolicyConfig)
    learner: LearnerConfig = field(default_factory=LearnerConfig)
    encoder: EncoderConfig = field(default_factory=EncoderConfig)
    generator: GeneratorConfig = field(default_factory=GeneratorConfig)
    discriminator: DiscriminatorConfig = field(default_factory=DiscriminatorConfig)
    adversarial: AdversarialConfig = field(default_factory=AdversarialConfig)
    augmentation: AugmentationConfig = field(default_factory=AugmentationConfig)
    logging: LoggingConfig = field(default_factory=LoggingConfig)

    def __post_init__(self) -> None:
        _require(self.iterations >= 0, "iterations", self.iterations, "0 or more")
        _require(self.torch_threads >= 1, "torch_threads", self.torch_threads, "at least 1")
        limit = self.max_real_steps
        _require(limit is None or limit >= 1, "max_real_steps", limit, "at least 1, or not given")
        if self.adversarial.max_context < self.encoder.min_context:
            raise ConfigError(
                f"adversarial.max_context ({self.adversarial.max_context}) must be at least "
                f"encoder.min_context ({self.encoder.min_context})"
            )

    @property
    def uses_generator(self) -> bool:
        """Whether the run has a generator at all."""
        return self.generated and self.augmentation.mode != "none"
