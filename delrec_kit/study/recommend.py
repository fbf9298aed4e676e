"""What a run's recommender says to one person by titles."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from delrec_kit.data import Cases, Ragged, item_of
from delrec_kit.run.directory import RunDirectory
from delrec_kit.settings.errors import KitError
from delrec_kit.settings.streams import stream
from delrec_kit.study.study import Study
from delrec_kit.teachers import top_items


def recommend(run: RunDirectory, titles: Sequence[str], top: int = 10) -> pd.DataFrame:
    """What DELRec recommends to a person who consumed ``titles``, oldest first: rank, title, score, teacher_rank.

    The teacher proposes its first max(m, top) items of the whole catalogue, history excluded; the fine-tuned language
    model with P ranks them, listed in random order, since the order would tell it the teacher's. Raises KitError for
    an unknown title, naming the nearest one.
    """
    study = Study(run)
    known = study.data.split.titles
    for title in titles:
        if study.data.cold is not None and title in study.data.cold.titles:
            raise KitError(f"'{title}' was withheld from all training (data.cold_items); name other titles")
    person = Cases.of_histories(Ragged.from_lists([[item_of(known, title) for title in titles]]))
    proposed = propose(study, person, max(top, run.config.data.candidates))
    recommender = study.recommender(study.answering())
    listed = stream(run.config.seed, f"order of what is recommended after {titles}").permutation(proposed.shape[1])
    scores = np.empty(proposed.shape[1])
    scores[listed] = recommender.scores(person, proposed[:, listed])[0]
    order = np.argsort(-scores, kind="stable")[:top]
    return pd.DataFrame(
        {
            "rank": np.arange(1, len(order) + 1),
            "title": [known[item] for item in proposed[0, order]],
            "score": scores[order],
            "teacher_rank": order + 1,
        }
    )


def propose(study: Study, person: Cases, count: int) -> np.ndarray:
    """(1, n) the teacher's first ``count`` items for one person, or all that are left. Raises KitError for none."""
    scores = study.teacher.scores(person)
    free = scores.shape[1] - 1 - len(set(person.history[0]))
    if not free:
        raise KitError("the history holds the whole catalogue; there is nothing left to recommend")
    return top_items(scores, person.history, min(count, free))
