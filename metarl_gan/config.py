"""Every setting of a run: frozen dataclasses, each default written once, contradictions refused.

The dotted names of these fields (`learner.inner_steps`) are the names in YAML files, on the
command line, in `train(config={...})` and in a run's `config.json`.
"""

from dataclasses import dataclass, field
from typing import Literal

from metarl_gan.config_error import ConfigError, require
from metarl_gan.generator_config import (
    AdversarialConfig,
    AugmentationConfig,
    DiscriminatorConfig,
    EncoderConfig,
    GeneratorConfig,
)
from metarl_gan.sac_config import SacConfig


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
            require(value >= 1, f"sampler.{name}", value, "at least 1")
        require(self.train_tasks >= 0, "sampler.train_tasks", self.train_tasks, "0 or more")


@dataclass(frozen=True, kw_only=True)
class PolicyConfig:
    """The policy network that the inner loop adapts."""

    hidden_sizes: tuple[int, ...] = (64, 64)
    activation: Literal["tanh", "relu", "silu"] = "tanh"
    initial_std: float = 0.5
    """Initial standard deviation of continuous actions, in half ranges of the action space."""
    normalise_observations: bool = True
    """Standardise observations by what training has seen so far."""
    start_from: str | None = None
    """A `.zip` of Stable-Baselines3 whose policy a fresh run starts from; later on the weights are
    the run's own, and the file is not read again."""

    def __post_init__(self) -> None:
        sizes = self.hidden_sizes
        require(all(size >= 1 for size in sizes), "policy.hidden_sizes", sizes, "widths >= 1")
        require(self.initial_std > 0, "policy.initial_std", self.initial_std, "positive")


@dataclass(frozen=True, kw_only=True)
class LearnerConfig:
    """MetaLearner: the inner loop that adapts and the outer loop that learns where from."""

    algorithm: Literal["maml", "fomaml", "reptile", "context_sac", "sb3_reptile"] = "maml"
    """`sb3_reptile`: Reptile over an algorithm of Stable-Baselines3, which is the inner loop."""
    inner_steps: int = 5
    """Policy-gradient steps per adaptation, each on fresh imagination."""
    inner_lr: float = 0.05
    learn_inner_lr: bool = True
    """Let the outer loop learn the inner step sizes (Li et al. 2017)."""
    inner_lr_per: Literal["tensor", "parameter"] = "tensor"
    """One step size per parameter tensor, which stays positive; or one for every parameter, as in
    Meta-SGD, whose sign is learnt as well."""
    inner_clip: float = 10.0
    """Clip of the importance ratio in the inner loop."""
    estimator: Literal["low_variance", "dice", "naive"] = "low_variance"
    """How inner gradients are differentiated again: `dice` without bias, `low_variance` without
    the terms that vary most, `naive` without what it takes, for comparison."""
    checkpoint_inner_steps: bool = False
    """Do every inner step again in the outer backward pass: memory of one step, the same numbers up
    to rounding; for many steps."""
    execution: Literal["auto", "batched", "looped", "threads"] = "auto"
    """How gradients of a meta-batch are computed: all tasks at once (`batched`), or in parts that
    fit the processor's cache, one by one (`looped`) or `torch_threads` at a time (`threads`): the
    last two give the same numbers to the bit. `auto`: parts on a processor where there is enough
    to compute, with threads if there are several; all at once on a GPU."""
    outer: Literal["clipped", "trust_region"] = "clipped"
    """`clipped`: `outer_epochs` Adam steps on the clipped surrogate; `trust_region`: one step of
    TRPO, as far as `max_kl` allows."""
    outer_lr: float = 1e-3
    outer_epochs: int = 4
    """Outer gradient steps per meta-batch."""
    outer_clip: float = 0.2
    """Clip of the importance ratio in the outer loop."""
    kl_penalty: float = 0.0
    """clipped: initial weight of the policies' divergence from those that played, which adapts to
    `kl_target`; 0: none."""
    kl_target: float = 0.01
    """clipped: divergence in nats that an outer update should come to."""
    max_kl: float = 0.01
    """trust_region: mean divergence in nats of the adapted policies that a step may come to."""
    cg_iterations: int = 10
    """trust_region: of conjugate gradient."""
    cg_damping: float = 0.01
    """trust_region: added to the divergence's curvature in every direction."""
    curvature_share: float = 0.2
    """trust_region: share of the episodes that the curvature is computed on; the rest of the step
    takes all."""
    max_grad_norm: float = 1.0
    discount: float = 0.97
    gae_lambda: float = 0.95
    entropy_bonus: float = 0.0
    reptile_step: float = 0.5
    """Share of the way to the adapted parameters that Reptile goes per meta-batch."""
    sb3_algorithm: Literal["PPO", "A2C", "SAC", "TD3", "DQN"] = "PPO"
    """sb3_reptile: which one. Each of the `inner_steps` imagines anew, and calls its `train`."""
    sb3_lr: float = 1e-3
    sb3_batch_size: int = 64
    """Rows of a gradient step; A2C takes all at once."""
    sb3_updates: int = 10
    """Per inner step: passes over the data (PPO, A2C), or gradient steps (SAC, TD3, DQN)."""
    sb3_exploration: float = 0.1
    """Standard deviation of TD3's noise, in half ranges of the actions; share of DQN's actions that
    are random. PPO and A2C start from `policy.initial_std`."""
    sb3_scale_rewards: bool = True
    """Divide rewards by the standard deviation of discounted returns so far."""
    sb3_options: tuple[str, ...] = ()
    """More arguments of the algorithm, each as name=value: `clip_range=0.1`."""

    def __post_init__(self) -> None:
        whole = ("inner_steps", "outer_epochs", "cg_iterations", "sb3_batch_size", "sb3_updates")
        for name in whole:
            value = getattr(self, name)
            require(value >= 1, f"learner.{name}", value, "at least 1")
        positive = ("inner_lr", "outer_lr", "inner_clip", "outer_clip", "max_grad_norm", "sb3_lr")
        for name in (*positive, "kl_target", "max_kl", "cg_damping"):
            value = getattr(self, name)
            require(value > 0, f"learner.{name}", value, "positive")
        shares = ("discount", "gae_lambda", "reptile_step", "curvature_share", "sb3_exploration")
        for name in shares:
            value = getattr(self, name)
            require(0 < value <= 1, f"learner.{name}", value, "above 0 and at most 1")
        require(self.kl_penalty >= 0, "learner.kl_penalty", self.kl_penalty, "0 or more")
        self._refuse_contradictions()

    def _refuse_contradictions(self) -> None:
        if self.outer == "trust_region" and self.algorithm not in ("maml", "fomaml"):
            raise ConfigError(
                f"learner.outer is 'trust_region' and learner.algorithm {self.algorithm!r}, which "
                "has no outer objective to improve: set learner.algorithm to 'maml' or 'fomaml'"
            )
        if self.outer == "trust_region" and self.kl_penalty:
            raise ConfigError(
                f"learner.kl_penalty is {self.kl_penalty!r} and learner.outer 'trust_region', "
                "which bounds the divergence by learner.max_kl: leave out one of the two"
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
        require(timeout > 0, "environments.step_timeout_s", timeout, "positive")
        require(
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
            require(value >= 1, f"logging.{name}", value, "at least 1")


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
    sac: SacConfig = field(default_factory=SacConfig)
    encoder: EncoderConfig = field(default_factory=EncoderConfig)
    generator: GeneratorConfig = field(default_factory=GeneratorConfig)
    discriminator: DiscriminatorConfig = field(default_factory=DiscriminatorConfig)
    adversarial: AdversarialConfig = field(default_factory=AdversarialConfig)
    augmentation: AugmentationConfig = field(default_factory=AugmentationConfig)
    logging: LoggingConfig = field(default_factory=LoggingConfig)

    def __post_init__(self) -> None:
        require(self.iterations >= 0, "iterations", self.iterations, "0 or more")
        require(self.torch_threads >= 1, "torch_threads", self.torch_threads, "at least 1")
        limit = self.max_real_steps
        require(limit is None or limit >= 1, "max_real_steps", limit, "at least 1, or not given")
        if self.adversarial.max_context < self.encoder.min_context:
            raise ConfigError(
                f"adversarial.max_context ({self.adversarial.max_context}) must be at least "
                f"encoder.min_context ({self.encoder.min_context})"
            )
        if self.augmentation.rejection and not self.has_discriminator:
            raise ConfigError(
                "augmentation.rejection asks the discriminator, and this run has none: set "
                "generator.kind to gan and adversarial.adversarial_weight above 0"
            )
        if self.adapts_by_context and self.generator.kind == "simulator":
            raise ConfigError(
                "learner.algorithm is context_sac, which needs a generator that learns, for its "
                "encodings: generator.kind must not be 'simulator'"
            )
        if self.augmentation.rejection and self.discriminator.objective == "cramer":
            raise ConfigError(
                "augmentation.rejection weighs rows by what the discriminator says of each, and "
                "discriminator.objective 'cramer' judges none by itself: take 'non_saturating'"
            )
        if self.augmentation.rejection and self.learner.algorithm == "sb3_reptile":
            raise ConfigError(
                "augmentation.rejection weights rows of policy gradients, and algorithms of "
                "Stable-Baselines3 take rows without weights: leave it out with sb3_reptile"
            )
        if self.sac.virtual_tasks and self.generator.adaptation in {"reptile", "maml"}:
            raise ConfigError(
                f"sac.virtual_tasks mixes what is inferred of tasks, and generator.adaptation "
                f"{self.generator.adaptation!r} gives each weights of its own: take 'inversion' or "
                "'none'"
            )
        packing, targets = self.discriminator.packing, self.adversarial.targets_per_task
        if packing > targets:
            raise ConfigError(
                f"discriminator.packing ({packing}) must be at most adversarial.targets_per_task "
                f"({targets}): that many transitions of a task are judged in an update"
            )

    @property
    def adapts_by_context(self) -> bool:
        """Whether adapting is inferring an encoding, so that one is learnt in any case."""
        return self.learner.algorithm == "context_sac"

    @property
    def learns_generator(self) -> bool:
        """Whether a generator is trained, and an encoder with it."""
        return self.adapts_by_context or (
            self.uses_generator and self.generator.kind != "simulator"
        )

    @property
    def uses_generator(self) -> bool:
        """Whether generated data is used at all."""
        return self.generated and self.augmentation.mode != "none" and self.generator.kind != "none"

    @property
    def least_support(self) -> int:
        """Real transitions of a task below which nothing is generated for it.

        A gate that decides from the task's own needs as many again, to hold its generator against.
        """
        augmentation, least = self.augmentation, self.encoder.min_context
        own = augmentation.mode == "gated" and augmentation.gate == "own_task"
        return 2 * least if own else least

    @property
    def has_discriminator(self) -> bool:
        """Whether the generator is trained against a discriminator."""
        return self.generator.kind == "gan" and self.adversarial.adversarial_weight > 0
