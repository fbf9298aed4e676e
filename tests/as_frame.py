"""Interactions as tests compare them."""

import numpy as np
import pandas as pd

from delrec_kit.data import Interactions
from delrec_kit.data.interactions import LABELS
from delrec_kit.data.times import SECOND


def as_frame(interactions: Interactions) -> pd.DataFrame:
    """The rows: user and item (categories of keys), timestamp (whole seconds) and, where they are there, rating and
    split."""
    rows = interactions.engine.frame(f"SELECT * FROM {interactions.table}")
    users, user = pd.Index(interactions.user_keys, dtype="str"), np.unique(rows["user"], return_inverse=True)[1]
    number = pd.Series(range(len(interactions.places)), interactions.places)
    read = {
        "user": pd.Categorical.from_codes(user, users),
        "item": pd.Categorical.from_codes(rows["item"].map(number), interactions.titles.index),
        "timestamp": rows["time"] // SECOND,
        **{name: rows[name] for name in ("rating",) if name in rows},
        **{name: np.array(LABELS, dtype=object)[rows[name]] for name in ("split",) if name in rows},
    }
    return pd.DataFrame(read)
