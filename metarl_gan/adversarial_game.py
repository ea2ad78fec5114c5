"""What generator and discriminator play for: their losses, and what a judgement is worth.

Nothing here waits for the device.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import final

import torch
from torch import Tensor, nn

from metarl_gan.discriminator import Discriminator
from metarl_gan.generator_config import DiscriminatorConfig
from metarl_gan.generators.energy_score import distance, energy_score

MAX_LOG_RATIO = 30.0
"""Beyond this a log density ratio says nothing more, and its exponential would overflow."""
UNBOUNDED = 1e30
"""Stands for a judgement that is infinite."""
BEST_REJECTED = 1e-6
"""Probability of rejecting the best row: keeps its log odds finite (epsilon in Azadi et al.)."""


@final
class AdversarialGame:
    """The two players' losses under one objective, and ratios of densities from judgements."""

    def __init__(self, discriminator: Discriminator, config: DiscriminatorConfig) -> None:
        self._discriminator = discriminator
        self._config = config

    @property
    def n_draws(self) -> int:
        """Generated rows for each real one: all first draws come first, then all second ones."""
        return 2 if self._config.objective == "cramer" else 1

    def discriminator_loss(
        self, real: Tensor, generated: Tensor, encoding: Tensor, stream: torch.Generator
    ) -> dict[str, Tensor]:
        """The discriminator's loss and its parts, scalars; no gradient flows to the inputs.

        `real` and `generated [tasks, rows, row]`, `encoding [tasks, size]`. Minimise
        `discriminator_loss`:

        - non_saturating: binary cross-entropy (Goodfellow et al. 2014, eq. 1);
        - hinge: Lim & Ye 2017; Miyato et al. 2018, eq. 16;
        - wgan_gp: Gulrajani et al. 2017, eq. 3, with `gradient_penalty` for lambda; points between
          real and generated are drawn from `stream`, which the other objectives leave alone;
        - cramer: Bellemare et al. 2017, algorithm 1, on the last hidden layer's features `h`. A row
          is judged by `|h(x) - h(x')| - |h(x)|`, where x' is a second draw for the same state and
          action, so that there are two generated rows for each real one: see `n_draws`;
        - any, with `r1_weight` for gamma: + gamma / 2 `r1` (Mescheder et al. 2018, eq. 9).

        Slopes are with respect to all that is judged, a pack of rows, under a fixed encoding.
        `real_accuracy` and `generated_accuracy` are the shares judged rightly: 1 and 0, or 0 and 1,
        is a discriminator that says the same of everything. The critics of wgan_gp and cramer have
        no zero: their threshold is halfway between their mean judgements. Raises `ValueError` as
        `packs` does.
        """
        config, encoding = self._config, encoding.detach()
        real = self._discriminator.packs(real.detach()).requires_grad_(config.r1_weight > 0)
        generated = self._packs(generated.detach())
        # In one call, because spectral norms move a little with each.
        both = self._discriminator.judge(torch.cat([real, generated], dim=1), encoding)
        n_packs = [real.shape[1], generated.shape[1]]
        if config.objective == "cramer":
            features = both.features.split(n_packs, dim=1)
            real_logits, generated_logits = _judged_against_draws(*features)
        else:
            real_logits, generated_logits = both.logits.split(n_packs, dim=1)
        loss = self._against(real_logits, generated_logits)
        parts = self._accuracies(real_logits.detach(), generated_logits.detach())
        if config.objective == "wgan_gp":
            parts["gradient_penalty"] = self._penalty(real, generated, encoding, stream)
            loss = loss + config.gradient_penalty * parts["gradient_penalty"]
        if config.r1_weight > 0:
            parts["r1"] = _slopes(real_logits, real).square().sum(-1).mean()
            loss = loss + 0.5 * config.r1_weight * parts["r1"]
        return {"discriminator_loss": loss, **parts}

    def generator_loss(
        self, real: Tensor, generated: Tensor, encoding: Tensor
    ) -> dict[str, Tensor]:
        """The generator's loss and its parts, scalars; the discriminator's weights get no gradient.

        Minimise `generator_loss`: -log D(generated) for non_saturating (Goodfellow et al. 2014,
        section 3), minus the mean judgement for hinge and wgan_gp; plus, weighted by
        `feature_matching`, the squared distance between the mean features of a task's real and
        generated rows, mean over tasks (Salimans et al. 2016, section 3.1). For cramer it is the
        energy score of the draws' features. The gradient flows to `generated` alone; shapes and
        errors as in `discriminator_loss`.

        Where it also flowed to the encoding that the discriminator judges by, the context encoder
        learnt to leave the discriminator in the dark, and the generator with it.
        """
        weight, encoding = self._config.feature_matching, encoding.detach()
        with _frozen(self._discriminator):
            judgement = self._discriminator.judge(self._packs(generated), encoding)
            if self._config.objective == "cramer":
                features = self._discriminator(real, encoding).features
                draws = judgement.features.unflatten(1, (self.n_draws, -1))
                return {"generator_loss": energy_score(draws, features).mean()}
            if self._config.objective == "non_saturating":
                adversarial = nn.functional.softplus(-judgement.logits).mean()
            else:
                adversarial = -judgement.logits.mean()
            if weight == 0:
                return {"generator_loss": adversarial}
            with torch.no_grad():
                target = self._discriminator(real, encoding).features.mean(1)
        missed = (judgement.features.mean(1) - target).square().sum(-1).mean()
        return {
            "generator_loss": adversarial + weight * missed,
            "adversarial_loss": adversarial,
            "feature_distance": missed,
        }

    @torch.no_grad()
    def density_ratio(self, transitions: Tensor, encoding: Tensor) -> Tensor:
        """How much likelier each row is among real ones than among generated ones: `[tasks, rows]`.

        non_saturating: D / (1 - D) = exp(logit), the ratio itself where D is optimal (Goodfellow et
        al. 2014, proposition 1). hinge and wgan_gp estimate no ratio: the exponential of their
        judgement tilts the generator towards the data (Che et al. 2020, "Your GAN is secretly an
        energy-based model"), a monotone stand-in; as a critic of wgan_gp has no zero, the task's
        median row gets 1 there. With packing the log ratio of a pack is shared by its rows.
        cramer judges no row by itself, and has none.
        """
        log_ratio = self._log_ratio(transitions, encoding)
        if self._config.objective == "wgan_gp":
            log_ratio = log_ratio - log_ratio.median(-1, keepdim=True).values
        return log_ratio.clamp(-MAX_LOG_RATIO, MAX_LOG_RATIO).exp()

    @torch.no_grad()
    def acceptance(self, transitions: Tensor, encoding: Tensor) -> Tensor:
        """Probability of accepting each generated row: `[tasks, rows]`, 1 for a task's best row.

        Discriminator rejection sampling (Azadi et al. 2019, section 3.2): the row's density ratio
        over the largest of its task, its log odds shifted by gamma. Their gamma is a percentile of
        the log odds; here it is the median, and 0 where the median would lower the probabilities.
        So one outstanding row does not reject all others, and equal rows are all accepted. For the
        ratio see `density_ratio`; a judgement that is no number counts as the worst there is.
        """
        log_ratio = self._log_ratio(transitions, encoding)
        below_best = log_ratio - log_ratio.amax(-1, keepdim=True)
        below_best = below_best.clamp(min=-MAX_LOG_RATIO)
        log_odds = below_best - torch.log(-torch.expm1(below_best - BEST_REJECTED))
        gamma = log_odds.median(-1, keepdim=True).values.clamp(max=0.0)
        return torch.sigmoid(log_odds - gamma)

    def _log_ratio(self, transitions: Tensor, encoding: Tensor) -> Tensor:
        """Logarithm `[tasks, rows]` of the density ratio, always a finite number."""
        with _frozen(self._discriminator):
            judged = self._discriminator.judge_rows(transitions, encoding)
        return judged.nan_to_num(nan=-UNBOUNDED, posinf=UNBOUNDED, neginf=-UNBOUNDED)

    def _packs(self, generated: Tensor) -> Tensor:
        """Packs of one draw each."""
        draws = generated.chunk(self.n_draws, dim=1)
        return torch.cat([self._discriminator.packs(draw) for draw in draws], dim=1)

    def _against(self, real_logits: Tensor, generated_logits: Tensor) -> Tensor:
        if self._config.objective == "non_saturating":
            softplus = nn.functional.softplus
            return softplus(-real_logits).mean() + softplus(generated_logits).mean()
        if self._config.objective == "hinge":
            return (1.0 - real_logits).relu().mean() + (1.0 + generated_logits).relu().mean()
        return generated_logits.mean() - real_logits.mean()

    def _accuracies(self, real_logits: Tensor, generated_logits: Tensor) -> dict[str, Tensor]:
        threshold = torch.zeros_like(real_logits[0, 0])
        if self._config.objective in ("wgan_gp", "cramer"):
            threshold = 0.5 * (real_logits.mean() + generated_logits.mean())
        return {
            "real_accuracy": (real_logits > threshold).to(real_logits.dtype).mean(),
            "generated_accuracy": (generated_logits < threshold).to(real_logits.dtype).mean(),
        }

    def _penalty(
        self, real: Tensor, generated: Tensor, encoding: Tensor, stream: torch.Generator
    ) -> Tensor:
        """(|slope| - 1)^2, mean over points drawn between each real pack and a generated one."""
        if real.shape != generated.shape:
            raise ValueError(
                f"wgan_gp compares as many generated rows as real ones; got {generated.shape[1]} "
                f"and {real.shape[1]} packs per task"
            )
        place = torch.rand(
            (*real.shape[:-1], 1), generator=stream, device=real.device, dtype=real.dtype
        )
        between = torch.lerp(real.detach(), generated, place).requires_grad_()
        slopes = _slopes(self._discriminator.judge(between, encoding).logits, between)
        return (torch.linalg.vector_norm(slopes, dim=-1) - 1.0).square().mean()


def _judged_against_draws(real: Tensor, generated: Tensor) -> tuple[Tensor, Tensor]:
    """Judgements `[tasks, packs]` of real packs and of first draws, from features `[..., width]`.

    Large for what is farther off a second draw than off the origin. Where the means of both differ
    much, draws are farther off the real outcome than off each other, in these features.
    """
    first, second = generated.unflatten(1, (2, -1)).unbind(1)

    def judged(features: Tensor) -> Tensor:
        return distance(features, second) - distance(features, torch.zeros_like(features))

    return judged(real), judged(first)


def _slopes(logits: Tensor, packs: Tensor) -> Tensor:
    """Gradient of each logit by its own pack, itself differentiable."""
    (slopes,) = torch.autograd.grad(logits.sum(), packs, create_graph=True)
    return slopes


@contextmanager
def _frozen(module: nn.Module) -> Iterator[None]:
    """Neither weights nor spectral norms of `module` are touched by what is computed within."""
    training = module.training
    trained = [parameter for parameter in module.parameters() if parameter.requires_grad]
    module.eval()
    for parameter in trained:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        module.train(training)
        for parameter in trained:
            parameter.requires_grad_(True)
