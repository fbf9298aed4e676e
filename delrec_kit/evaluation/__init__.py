"""Scores to ranks, metrics, paired statistics and comparison tables. Knows no model: scores come as arrays."""

from delrec_kit.evaluation.comparison import PAIRS, compare, load_comparison, write_comparison
from delrec_kit.evaluation.experiments import (
    costs_table,
    curve_table,
    differences_table,
    finished_runs,
    protocols_of,
    protocols_table,
    results_table,
    slices_table,
    spread_of_draws,
    times_table,
    varied_setting,
)
from delrec_kit.evaluation.fusion import Fusion, context
from delrec_kit.evaluation.gap import gap_table
from delrec_kit.evaluation.merged import merged_differences, settings_differences
from delrec_kit.evaluation.metrics import METRICS, means, per_user
from delrec_kit.evaluation.plots import (
    plot_comparison,
    plot_curve,
    plot_differences,
    plot_merged_differences,
    plot_results,
)
from delrec_kit.evaluation.ranks import expected_ranks, full_ranks, membership
from delrec_kit.evaluation.slices import slice_table
from delrec_kit.evaluation.tables import (
    comparison_table,
    difference_table,
    report_table,
    report_text,
    to_markdown,
    write_report,
)

__all__ = [
    "METRICS",
    "PAIRS",
    "Fusion",
    "compare",
    "comparison_table",
    "context",
    "costs_table",
    "curve_table",
    "difference_table",
    "differences_table",
    "expected_ranks",
    "finished_runs",
    "full_ranks",
    "gap_table",
    "load_comparison",
    "means",
    "membership",
    "merged_differences",
    "per_user",
    "plot_comparison",
    "plot_curve",
    "plot_differences",
    "plot_merged_differences",
    "plot_results",
    "protocols_of",
    "protocols_table",
    "report_table",
    "report_text",
    "results_table",
    "settings_differences",
    "slice_table",
    "slices_table",
    "spread_of_draws",
    "times_table",
    "to_markdown",
    "varied_setting",
    "write_comparison",
    "write_report",
]
