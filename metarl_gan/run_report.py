"""What a run folder holds, printed as tables."""

import json
from pathlib import Path
from typing import Any

from metarl_gan.arm_comparison import ArmComparison
from metarl_gan.fidelity_report import FidelityReport
from metarl_gan.report_files import ReportError
from metarl_gan.run_log import read_metrics
from metarl_gan.tables import adaptation_table, fidelity_table, make_console, settings_table

CONFIG_FILE = "config.json"
"""As `RunFolder` writes it; repeated here because that module needs torch."""


def print_run(folder: Path) -> None:
    """Print the settings, the last metrics and every saved evaluation of a run.

    Raises:
        ReportError: when the folder does not exist or holds nothing of a run.
    """
    if not folder.is_dir():
        raise ReportError(f"no folder {folder}; give the --out folder of a run")
    tables = []
    if (folder / CONFIG_FILE).is_file():
        tables.append(settings_table(f"Settings of {folder}", _read_settings(folder)))
    rows = read_metrics(folder)
    if rows:
        shown = {name: value for name, value in rows[-1].items() if value is not None}
        tables.append(settings_table("Last meta-iteration", shown))
    comparisons = sorted(folder.rglob("comparison-*.json"))
    fidelities = sorted(folder.rglob("fidelity-*.json"))
    tables += [adaptation_table(ArmComparison.load(path)) for path in comparisons]
    tables += [fidelity_table(FidelityReport.load(path)) for path in fidelities]
    if not tables:
        raise ReportError(
            f"{folder} holds no run: no {CONFIG_FILE}, metrics or evaluation; give the --out "
            "folder of a run"
        )
    console = make_console()
    for table in tables:
        console.print(table)


def _read_settings(folder: Path) -> dict[str, object]:
    """The top-level settings of a run: those that say what it is and what it may spend."""
    try:
        settings: dict[str, Any] = json.loads((folder / CONFIG_FILE).read_text())
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ReportError(f"{folder / CONFIG_FILE} is not a JSON file ({error})") from None
    return {name: value for name, value in settings.items() if not isinstance(value, dict)}
