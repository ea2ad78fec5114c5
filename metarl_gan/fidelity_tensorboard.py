"""A fidelity report beside its run's curves in TensorBoard."""

import math
from pathlib import Path
from typing import TYPE_CHECKING

from metarl_gan.run_log import TENSORBOARD_FOLDER

if TYPE_CHECKING:
    from metarl_gan.fidelity_report import FidelityReport


def write_fidelity(report: "FidelityReport", run_folder: Path) -> Path:
    """Write scalars and the figure at the report's meta-iteration; gives the folder.

    Raises:
        OSError: when the folder cannot be written to.
    """
    from torch.utils.tensorboard import SummaryWriter  # slow, and few commands need it

    # Of several files in one folder TensorBoard follows the newest alone: written beside those
    # of a run that still trains, this one would end its curves.
    folder = run_folder / TENSORBOARD_FOLDER / "fidelity"
    writer = SummaryWriter(str(folder))
    try:
        prefix = f"fidelity_{report.split}"
        for name, value in report.scalars().items():
            if math.isfinite(value):
                writer.add_scalar(f"{prefix}/{name}", value, report.meta_iterations)
        writer.add_figure(prefix, report.figure(), report.meta_iterations)
    finally:
        writer.close()
    return folder
