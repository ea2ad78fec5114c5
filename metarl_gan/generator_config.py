"""Settings of what generates: context encoder, generator, discriminator, and how it is used.

Sections of `Config`, which names them all.
"""

from dataclasses import dataclass
from typing import Literal

from metarl_gan.config_error import ConfigError, require

MAX_MEMBERS = 7


@dataclass(frozen=True, kw_only=True)
class EncoderConfig:
    """The context encoder: from real transitions of a task to its encoding."""

    encoding_size: int = 8
    hidden_sizes: tuple[int, ...] = (128, 128)
    min_context: int = 5
    """Fewest transitions that a context is trained with and accepted with."""
    pooling: Literal["mean", "attention", "product"] = "product"
    """How the embedded transitions become one: their mean, learnt queries that attend to them, or
    a product of one Gaussian per transition."""
    posterior: bool = False
    """Infer a distribution of encodings and train on samples of it; otherwise its mean alone."""
    kl_weight: float = 0.01
    """Weight of the posterior's divergence from a standard normal."""
    descriptor: bool = False
    """Let the encoder see the task's descriptor too."""

    def __post_init__(self) -> None:
        for name in ("encoding_size", "min_context"):
            value = getattr(self, name)
            require(value >= 1, f"encoder.{name}", value, "at least 1")
        require(self.kl_weight >= 0, "encoder.kl_weight", self.kl_weight, "0 or more")


@dataclass(frozen=True, kw_only=True)
class GeneratorConfig:
    """The generator G(s, a, encoding, z) of next state, reward and termination."""

    kind: Literal["gan", "ensemble", "diffusion", "simulator", "none"] = "gan"
    """`gan`; `ensemble`: Gaussian networks by maximum likelihood; `diffusion`: a small denoiser
    of transitions; `simulator`: the environment itself, an upper bound; `none`: no generator."""
    hidden_sizes: tuple[int, ...] = (128, 128)
    noise_size: int = 2
    """Size of z; 0 makes the generator deterministic."""
    residual: bool = True
    """Predict the change of state rather than the next state."""
    members: int = 1
    """Networks side by side, each imagining its part of the rollouts."""
    elites: int | None = None
    """How many of the members imagine: those of least held-out error; all if not given."""
    diffusion_steps: int = 8
    """Denoising steps per transition."""
    adaptation: Literal["none", "inversion", "reptile", "maml"] = "inversion"
    """How a task's real transitions are used besides encoding them: not at all; `inversion`
    refines the encoding by gradient through the frozen generator; `reptile` and `maml` take
    gradient steps on the generator itself, from where training put it for that purpose."""
    inversion_steps: int = 20
    inversion_lr: float = 0.05
    inversion_rows: int = 1000
    """Transitions of a task that inversion looks at, at most, spread evenly over those that are
    known; 0 looks at all of them, so that each real episode makes adapting slower."""
    inversion_starts: int = 0
    """Encodings, spread evenly, of which the one that explains a task best is where its inversion
    starts, should the encoder's be worse: for tasks of different kinds, between which no gradient
    leads."""
    adaptation_steps: int = 3
    """Gradient steps of reptile and maml."""
    adaptation_lr: float = 0.01

    def __post_init__(self) -> None:
        require(self.noise_size >= 0, "generator.noise_size", self.noise_size, "0 or more")
        for name in ("inversion_steps", "adaptation_steps", "diffusion_steps"):
            value = getattr(self, name)
            require(value >= 1, f"generator.{name}", value, "at least 1")
        for name in ("inversion_lr", "adaptation_lr"):
            value = getattr(self, name)
            require(value > 0, f"generator.{name}", value, "positive")
        for name in ("inversion_rows", "inversion_starts"):
            value = getattr(self, name)
            require(value >= 0, f"generator.{name}", value, "0 or more")
        members, elites = self.members, self.elites
        allowed = f"between 1 and {MAX_MEMBERS}"
        require(1 <= members <= MAX_MEMBERS, "generator.members", members, allowed)
        fits = elites is None or 1 <= elites <= members
        require(fits, "generator.elites", elites, f"between 1 and the {members} members")


@dataclass(frozen=True, kw_only=True)
class DiscriminatorConfig:
    """The discriminator D(s, a, s', r, terminated | encoding)."""

    objective: Literal["non_saturating", "hinge", "wgan_gp", "cramer"] = "non_saturating"
    """cramer is for dynamics by chance: whatever the discriminator looks at, outcomes as they are
    distributed under this state, action and task cost least, not only those of all together."""
    hidden_sizes: tuple[int, ...] = (128, 128)
    spectral_norm: bool | None = None
    """Bound every layer's largest singular value by 1 (Miyato et al. 2018); if not given, all
    objectives do but wgan_gp, whose penalty is its bound."""
    r1_weight: float = 0.0
    """Weight of the squared gradient on real transitions (Mescheder et al. 2018)."""
    gradient_penalty: float = 5.0
    """Weight of WGAN-GP's penalty."""
    steps: int = 1
    """Steps of the discriminator each time that it learns."""
    packing: int = 1
    """Transitions of one task that are judged together, against collapse (Lin et al. 2018)."""
    window_steps: int = 1
    """Consecutive steps that are judged together, the generated ones rolled out."""
    feature_matching: float = 0.0
    """Weight of matching the discriminator's mean features (Salimans et al. 2016)."""

    def __post_init__(self) -> None:
        for name in ("steps", "packing", "window_steps"):
            value = getattr(self, name)
            require(value >= 1, f"discriminator.{name}", value, "at least 1")
        for name in ("r1_weight", "gradient_penalty", "feature_matching"):
            value = getattr(self, name)
            require(value >= 0, f"discriminator.{name}", value, "0 or more")
        if self.objective == "cramer" and self.feature_matching:
            raise ConfigError(
                f"discriminator.feature_matching is {self.feature_matching!r} and "
                "discriminator.objective 'cramer', which compares features already: leave it out"
            )
        if self.objective == "wgan_gp" and self.spectral_norm:
            raise ConfigError(
                "discriminator.objective wgan_gp bounds the critic's slope by its penalty, which "
                "contradicts discriminator.spectral_norm: leave it out, or take hinge"
            )

    @property
    def spectral(self) -> bool:
        """Whether layers are spectrally normalised."""
        return self.objective != "wgan_gp" if self.spectral_norm is None else self.spectral_norm


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
    anchor_samples: int = 1
    """Draws of z that the anchor holds against each real transition: with several, by their energy
    score, which does not pull outcomes that differ by chance to their mean (Gneiting & Raftery
    2007)."""
    game_every: int = 2
    """Updates of the generator per turn of discriminator and generator against each other."""
    counterfactual_share: float = 0.0
    """Share of updates with counterfactual contexts: other tasks' (s, a, s') under this task's
    reward head, so that the encoder learns the task rather than to recognise episodes."""
    ema_decay: float = 0.99
    """Decay of the averaged generator that imagines."""
    max_gradient_norm: float = 1e4
    """A gradient beyond this, or one that is no number, takes training back to the last good
    generator."""
    replay_tasks: int = 1000
    replay_episodes: int = 8
    """The latest of each task. While tasks are fewer than `replay_tasks`, they share its room."""

    def __post_init__(self) -> None:
        names = ("updates_per_iteration", "initial_updates", "adversarial_weight")
        for name in names:
            value = getattr(self, name)
            require(value >= 0, f"adversarial.{name}", value, "0 or more")
        tasks = self.tasks_per_update
        # The encoder standardises over a batch of tasks.
        require(tasks >= 2, "adversarial.tasks_per_update", tasks, "at least 2")
        for name in ("targets_per_task", "max_context", "game_every", "anchor_samples"):
            value = getattr(self, name)
            require(value >= 1, f"adversarial.{name}", value, "at least 1")
        for name in ("learning_rate", "max_gradient_norm"):
            value = getattr(self, name)
            require(value > 0, f"adversarial.{name}", value, "positive")
        for name in ("counterfactual_share", "ema_decay"):
            value = getattr(self, name)
            require(0 <= value <= 1, f"adversarial.{name}", value, "between 0 and 1")
        episodes = self.replay_episodes
        require(episodes >= 2, "adversarial.replay_episodes", episodes, "at least 2")
        require(self.replay_tasks >= 2, "adversarial.replay_tasks", self.replay_tasks, ">= 2")


@dataclass(frozen=True, kw_only=True)
class AugmentationConfig:
    """DataAugmentation: what share of an inner batch is generated, and how it is imagined."""

    mode: Literal["gated", "scheduled", "fixed", "none"] = "gated"
    """`gated` decides by held-out fidelity; `scheduled` raises the share with the generator's
    updates; `none` builds no generator at all."""
    share: float = 0.9
    """Share of generated data: as is when fixed, at most otherwise."""
    schedule_updates: int = 2000
    """scheduled: updates of the generator after which the whole share is used."""
    gate: Literal["own_task", "validation"] = "own_task"
    """Whose real transitions the gate measures errors on: the very task's, half of its support
    apart, or those of validation tasks, which are never trained on."""
    gate_full_error: float = 0.02
    """Held-out error (share of variance left unexplained) up to which the full share is used."""
    gate_zero_error: float = 0.1
    """Held-out error from which nothing generated is used."""
    gate_unrefined: float = 0.33
    """Weight in the gate of the error before the generator was fitted to the task's own
    transitions: one that is wrong can be fitted to a few of them; 0 leaves it out."""
    rejection: bool = False
    """Weight generated transitions by how probably the discriminator lets them pass as real."""
    rollouts_per_task: int = 8
    """Imagined rollouts per task and inner step."""
    rollout_steps: int = 50
    """Length of an imagined rollout; 0 is the family's horizon."""
    start: Literal["initial", "own_states"] = "initial"
    """Imagine from initial states, or branch from the real states of the task's own support."""
    shuffled_context: bool = False
    """A control: imagine every task under the encoding of another one of its batch."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """Numbers that the generator's networks imagine in."""

    def __post_init__(self) -> None:
        require(0 <= self.share <= 1, "augmentation.share", self.share, "between 0 and 1")
        for name in ("rollouts_per_task", "schedule_updates"):
            value = getattr(self, name)
            require(value >= 1, f"augmentation.{name}", value, "at least 1")
        require(self.rollout_steps >= 0, "augmentation.rollout_steps", self.rollout_steps, ">= 0")
        unrefined = self.gate_unrefined
        require(unrefined >= 0, "augmentation.gate_unrefined", unrefined, "0 or more")
        if not 0 <= self.gate_full_error < self.gate_zero_error:
            raise ConfigError(
                f"augmentation.gate_full_error ({self.gate_full_error}) must be 0 or more and "
                f"below augmentation.gate_zero_error ({self.gate_zero_error})"
            )
