"""What the command line shows at the end: a run's comparison in brief, a report over runs."""

from collections.abc import Sequence
from pathlib import Path

from delrec_kit.run.directory import RunDirectory
from delrec_kit.run.mixture import mixture

SHOWN = ["protocol", "a", "b", "metric", "value", "low", "high", "p_holm", "sure"]  # of a difference, on the screen


def _surest(differences):
    from delrec_kit.evaluation import surest_first
    from delrec_kit.evaluation.tables import ROWS

    groups = ["settings"] if differences["settings"].astype(bool).any() else []
    return surest_first(differences).head(ROWS)[[*groups, *SHOWN]]


def print_report(run_dirs: Sequence[Path], csv: Path | None, markdown: Path | None) -> None:
    """The comparison over one or many runs, also into files where they are named."""
    from delrec_kit.evaluation import (
        costs_table,
        differences_table,
        labelled,
        results_table,
        results_text,
        times_table,
        write_report,
    )

    table, others = (
        results_table(run_dirs),
        {"differences": differences_table(run_dirs), "costs": costs_table(run_dirs)},
    )
    others["seconds"] = times_table(run_dirs).reset_index()
    print(labelled(results_text(table)).to_string(index=False))
    for name, other in others.items():
        shown = labelled(_surest(other) if name == "differences" and len(other) else other)
        print("\n" + shown.to_string(index=False, float_format="{:.3f}".format))
        if len(shown) < len(other):
            print(f"{len(shown)} of {len(other)} {name}, {int(other['sure'].sum())} of them sure; all with --csv FILE")
    if (unlike := mixture(run_dirs)) is not None:
        print(f"\nnote: {unlike}")
    write_report(table, csv, markdown, **others)


def print_summary(run: RunDirectory) -> None:
    """The comparison in brief, if there is one for these settings, and where to look further."""
    if run.is_done("evaluation"):
        from delrec_kit.evaluation import comparison_table, labelled, load_comparison, main_first
        from delrec_kit.evaluation.tables import ROWS

        comparison = load_comparison(run.folder("evaluation"))
        table = comparison_table(comparison)[["HR@1", "HR@5", "NDCG@5"]]
        shown = main_first(table).head(ROWS)
        print(
            f"\n{comparison['users']} users, the answer among {comparison['m']}; in brackets 95 % intervals; "
            f"{len(shown)} of {len(table)} rows, all in {run.folder('evaluation') / 'comparison.json'}\n"
            f"{labelled(shown).to_string()}"
        )
    print(f"\nexecuted notebooks  {run.path / 'notebooks'}\nfigures             {run.figures}")
