# ruff: noqa: F401 (what the other rooms and the notebooks use)
"""Scores to ranks, metrics, the paired test, tables and plots. Knows no model: scores come as arrays."""

from delrec_kit.evaluation.comparison import OWN, PAIRS, compare, load_comparison, ranks_of, write_comparison
from delrec_kit.evaluation.fusion import Fusion, by_exposure, context, features
from delrec_kit.evaluation.grouping import finished_runs, protocols_of, varied_setting
from delrec_kit.evaluation.paired import TESTED, bootstrap_intervals, judged, paired_test
from delrec_kit.evaluation.plots import plot_comparison, plot_curve, plot_differences, plot_results
from delrec_kit.evaluation.ranks import METRICS, expected_ranks, full_ranks, means, membership, per_user
from delrec_kit.evaluation.runs import (
    costs_table,
    curve_table,
    differences_table,
    protocols_table,
    results_table,
    settings_differences,
    slices_table,
    spread_of_draws,
    times_table,
)
from delrec_kit.evaluation.slices import gap_table, slice_table, slices_by_method
from delrec_kit.evaluation.tables import (
    comparison_table,
    difference_table,
    labelled,
    main_first,
    results_text,
    shown,
    surest_first,
    write_report,
)
