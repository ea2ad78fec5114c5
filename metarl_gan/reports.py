"""The reports of evaluation, in one place: what `metarl_gan.evaluate` and `fidelity` return."""

from metarl_gan.adaptation_report import AdaptationReport
from metarl_gan.arm_comparison import ArmComparison
from metarl_gan.fidelity_report import FidelityReport
from metarl_gan.report_files import ReportError

__all__ = ["AdaptationReport", "ArmComparison", "FidelityReport", "ReportError"]
