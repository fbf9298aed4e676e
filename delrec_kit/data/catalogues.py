"""A publisher's catalogue made fit for validation: only what was chosen, one title an item."""

import numpy as np

from delrec_kit.data.tables import Table


def chosen_only(rows: Table, catalogue: Table) -> tuple[Table, list[str]]:
    """The catalogue without items that nobody chose, and their count; shops publish many times what is reviewed.

    Where no item is known, or none is left out, the catalogue stays as it is, so that ``validate`` can say what is
    wrong with the ids.
    """
    item = catalogue.frame["item"]
    known = item.cat.categories.isin(rows.frame["item"].cat.categories)[item.cat.codes]
    if known.all() or not known.any():
        return catalogue, []
    return catalogue.keep(known), [f"{item[~known].nunique()} catalogue items that nobody chose left out"]


def first_titles(catalogue: Table) -> tuple[Table, list[str]]:
    """Rows that bear the first title of their item, and the count of the others; whole repeats stay."""
    item = catalogue.frame["item"].cat.codes.to_numpy()
    title = catalogue.frame["title"].astype("str").to_numpy(dtype=object)
    titled_first = np.argsort(title == "", kind="stable")
    items, places = np.unique(item[titled_first], return_index=True)
    first = title[titled_first][places]
    same = title == first[np.searchsorted(items, item)]
    if same.all():
        return catalogue, []
    return catalogue.keep(same), [f"{(~same).sum()} catalogue rows with a second title for an item, or none, left out"]
