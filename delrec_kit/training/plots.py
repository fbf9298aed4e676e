"""Learning curves of both stages; each function gives the figure and the plotted numbers."""

from itertools import cycle

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure

from delrec_kit.settings.methods import WITHOUT_P, base_of
from delrec_kit.settings.style import DASHES, headline, label, look

PANELS = {
    "train_loss": "training loss (nats)",
    "valid_loss": "validation loss (nats)",
    "valid_HR@1": "validation HR@1",
    "valid_agreement": "agreement with teacher",
}
TOLD = 3  # methods that a title has room for
IN_THE_WAY = 0.1  # nats of validation loss that chance hardly makes between two trainings


def worth_of_P(curves: pd.DataFrame) -> list[str]:
    """A sentence for each ``method`` that has a distilled P and stands beside the same one without: what P does on
    validation users before stage 2 and at the step that is kept, and a warning where it is in the way."""
    rows = {method: rows.reset_index(drop=True) for method, rows in curves.groupby("method", sort=False)}
    told = []
    for method, own in rows.items():
        bare = WITHOUT_P.get(base_of(method))
        if bare not in rows:
            continue
        pair = {"with P": own, "without P": rows[bare]}
        kept = {of: each.loc[each["valid_loss"].idxmin()] for of, each in pair.items()}
        hits = [
            f"{of} HR@1 {each['valid_HR@1'][0]:.3f} before stage 2 and {kept[of]['valid_HR@1']:.3f} after"
            for of, each in pair.items()
        ]
        told.append(f"{label(method)}, on validation users: {'; '.join(hits)}")
        loss, bare_loss = (best["valid_loss"] for best in kept.values())
        if loss > bare_loss + IN_THE_WAY:
            told.append(
                f"P is in the way: {label(method)} ends at a loss of {loss:.2f}, {label(bare)} at {bare_loss:.2f}. A P "
                f"that learned from too few people does this: take {bare}, more people, or more distill.examples"
            )
    return told


def plot_curves(curves: pd.DataFrame, stage: str) -> tuple[Figure, pd.DataFrame]:
    """Training loss, validation loss, HR@1 and agreement against the optimizer step; a line a ``method``.

    The title names the validation HR@1 before training and at the best validation loss, which is what is kept.
    """
    curves = curves if "method" in curves else curves.assign(method=stage)
    legend = 0.25 * -(-curves["method"].nunique() // 3)
    figure, axes = plt.subplots(2, 2, figsize=(8.0, 5.0 + legend), sharex=True)
    findings = []
    for (method, rows), dash in zip(curves.groupby("method", sort=False), cycle(DASHES)):
        line = look(method) | {"linestyle": dash, "label": label(method)}
        rows = rows.reset_index(drop=True)
        best = rows.loc[rows["valid_loss"].idxmin()]
        for axis, column in zip(axes.flat, PANELS, strict=True):
            shown = rows.dropna(subset=column)
            axis.plot(shown["step"], shown[column], **line)
            if column != "train_loss":
                axis.plot(best["step"], best[column], marker="*", markersize=13, color=line["color"], linestyle="none")
        said = f"{label(method)}: HR@1 {rows['valid_HR@1'][0]:.2f} → {best['valid_HR@1']:.2f}"
        findings.append((best["valid_HR@1"], said))
    for axis, name in zip(axes.flat, PANELS.values(), strict=True):
        axis.set_ylabel(name)
    for axis in axes[1]:
        axis.set_xlabel("optimizer step")
    if len(findings) > 1:
        figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower left", ncols=3, fontsize=9)
    few = len(findings) <= TOLD
    said = "; ".join(text for _, text in findings) if few else f"Best of {len(findings)}, {max(findings)[1]}"
    headline(figure, f"{said} (validation; ★ is kept)")
    return figure, curves
