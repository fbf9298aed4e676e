"""What a run recommends: the teacher proposes, the language model ranks what it proposed."""

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd

from delrec_kit.data.ragged import sorted_unique
from delrec_kit.llm import LlmRecommender
from delrec_kit.run.directory import RunDirectory
from delrec_kit.run.progress import progress
from delrec_kit.settings.errors import KitError
from delrec_kit.settings.streams import stream
from delrec_kit.study.people import People, person_of
from delrec_kit.study.study import Study
from delrec_kit.teachers import top_items
from delrec_kit.teachers.scorer import SCORES

BLOCK = 128  # people at a time, fewer where the catalogue is large
COLUMNS = ["user", "rank", "item", "title", "score", "teacher_rank"]


def recommend(run: RunDirectory, titles: Sequence[str], top: int = 10) -> pd.DataFrame:
    """What DELRec recommends to a person who consumed ``titles``, oldest first: rank, title, score, teacher_rank.

    Raises KitError for an unknown title, naming the nearest one, and where nothing is left to recommend.
    """
    study = Study(run)
    person = person_of(study, titles)
    if not proposed(study, person, top)[0]:
        raise KitError("the history holds the whole catalogue; there is nothing left to recommend")
    table = ranked_for(study, study.recommender(study.answering()), person, top)
    return table[["rank", "title", "score", "teacher_rank"]]


def proposed(study: Study, people: People, top: int) -> np.ndarray:
    """(U,) how many items the teacher proposes to each: max(m, top), or all that are left; none to whoever has no
    history."""
    left = study.data.split.n_items - people.had.lengths
    count = np.minimum(max(top, study.run.config.data.candidates), left)
    return np.where(people.cases.history.lengths > 0, count, 0)


def ranked_for(study: Study, recommender: LlmRecommender, people: People, top: int) -> pd.DataFrame:
    """The first ``top`` items for each of U people: user, rank, item, title, score, teacher_rank (among what the person
    has not had), people in their order, ranks rising.

    The teacher proposes its first max(m, top) items of the whole catalogue; the language model ranks them. Each
    person's are listed in a random order of the person's own, since the teacher's would tell its ranks.
    """
    parts = []
    for rows, items, listed in proposals(study, people, top):
        given = np.empty(items.shape, dtype=np.float32)
        asked = recommender.scores(people.cases.take(rows), np.take_along_axis(items, listed, 1))
        np.put_along_axis(given, listed, asked, 1)
        order = np.argsort(-given, axis=1, kind="stable")[:, :top]
        parts.append((rows, *(np.take_along_axis(table, order, 1) for table in (items, given)), order + 1))
    return _table(study, people, parts)


def proposals(study: Study, people: People, top: int) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Rows of the people for whom the teacher proposes equally many items; these, best first; and the order in which
    a prompt lists them, a permutation of its columns."""
    seed, counts = study.run.config.seed, proposed(study, people, top)
    scores = study.teacher.scores(people.cases)
    for count in sorted_unique(counts[counts > 0]):
        rows = np.flatnonzero(counts == count)
        keys = [people.keys[row] for row in rows]
        listed = [stream(seed, f"order of what is recommended to {key}").permutation(count) for key in keys]
        yield rows, top_items(scores[rows], people.had.take(rows), count), np.stack(listed)


def recommend_to(study: Study, recommender: LlmRecommender, people: People, top: int) -> pd.DataFrame:
    """``ranked_for`` all of the people, block by block, with progress."""
    steps = progress(blocks(study, len(people)), f"recommending to {len(people)}, block by block")
    tables = [ranked_for(study, recommender, people.take(rows), top) for rows in steps]
    return pd.concat(tables, ignore_index=True)


def blocks(study: Study, people: int) -> list[np.ndarray]:
    """Rows of people at a time, so that memory is bounded: at least one block."""
    size = max(1, min(BLOCK, SCORES // (study.data.split.n_items + 1)))
    return [np.arange(start, min(start + size, people)) for start in range(0, max(1, people), size)]


def _table(study: Study, people: People, parts: list[tuple[np.ndarray, ...]]) -> pd.DataFrame:
    """One table of what was ranked for rows of the people, in groups of like length: items, scores, teacher's ranks."""
    split, frames = study.data.split, [pd.DataFrame({name: [] for name in COLUMNS})] if not parts else []
    for rows, items, scores, places in parts:
        n = items.shape[1]
        chosen = items.ravel()
        frames.append(
            pd.DataFrame(
                {
                    "row": np.repeat(rows, n),
                    "user": np.repeat(np.array([people.keys[row] for row in rows], dtype=object), n),
                    "rank": np.tile(np.arange(1, n + 1, dtype=np.int32), len(rows)),
                    "item": [split.item_keys[item] for item in chosen],
                    "title": [split.titles[item] for item in chosen],
                    "score": scores.ravel(),
                    "teacher_rank": places.ravel().astype(np.int32),
                }
            )
        )
    whole = pd.concat(frames, ignore_index=True)
    whole = whole.sort_values(["row", "rank"], kind="stable", ignore_index=True) if parts else whole
    return whole[COLUMNS]
