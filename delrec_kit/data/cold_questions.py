"""What is asked of withheld items: of whom, and among which candidates."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from delrec_kit.data.candidates import draw_distractors
from delrec_kit.data.ragged import Ragged
from delrec_kit.data.split import Cases
from delrec_kit.settings.errors import KitError
from delrec_kit.settings.streams import stream

MATCHED = 2  # times as many items, nearest in popularity, as a mixed set needs distractors
MOST = 10_000  # cases of a part


@dataclass(frozen=True)
class ColdQuestions:
    """everyone: all that each user ever had, with items of the split below ``first_new`` and withheld ones from there;
    titles, counts: of all of these; m: candidates."""

    everyone: Ragged
    first_new: int
    titles: list[str]
    counts: np.ndarray
    m: int
    seed: int

    def cases(self, new: np.ndarray, part: str) -> Cases:
        """Of each user the last of the ``new`` items that it chose after some item of the split."""
        values, offsets = self.everyone.values, self.everyone.offsets
        known = values < self.first_new
        before = np.append(0, np.cumsum(known))  # items of the split up to each place
        rows = np.flatnonzero(np.isin(values, new))
        user = self.everyone.rows[rows]
        rows = rows[before[rows] > before[offsets[user]]]
        user = self.everyone.rows[rows]
        last = np.append(user[1:] != user[:-1], np.ones(min(1, len(user)), bool))
        rows, user = rows[last], user[last]
        if len(rows) > MOST:
            some = np.sort(stream(self.seed, f"cold cases, {part}").choice(len(rows), MOST, replace=False))
            rows, user = rows[some], user[some]
        start = before[offsets[user]]
        return Cases(user, Ragged.slices(values[known], start, before[rows] - start), values[rows])

    def whole(self, cases: Cases) -> Cases:
        """The cases with all that their users had before the answer, withheld items too."""
        ends = [np.flatnonzero(self.everyone[u] == item)[-1] for u, item in zip(cases.user, cases.target)]
        starts = self.everyone.offsets[cases.user]
        return Cases(cases.user, Ragged.slices(self.everyone.values, starts, np.array(ends)), cases.target)

    def among_cold(self, cases: Cases, new: np.ndarray, part: str) -> np.ndarray:
        """(U, m): the answer and others of the ``new`` items that the user never had, in random order."""
        rng, shift = stream(self.seed, f"candidates among cold items, {part}"), new[0] - 1
        inside = np.isin(self.everyone.values, new)
        had = Ragged.from_groups(self.everyone.rows[inside], self.everyone.values[inside] - shift, len(self.everyone))
        canonical = np.arange(len(new) + 1)  # each has a title of its own
        others = draw_distractors(had, cases.user, cases.target - shift, self.m - 1, rng, canonical) + shift
        return rng.permuted(np.concatenate([cases.target[:, None], others], axis=1), axis=1)

    def mixed(self, cold: Cases, warm: Cases, new: np.ndarray, part: str) -> tuple[Cases, np.ndarray]:
        """Half of the people with their cold case, half with their warm one, and (U, m) candidates of both kinds, each
        chosen at least as often as the least popular ``new`` item."""
        rng = stream(self.seed, f"mixed candidates, {part}")
        likely = self.counts >= self.counts[new].min()
        cases = _half_of_each(cold, warm.take(np.flatnonzero(likely[warm.target])), rng)
        own = ~pd.Series(self.titles).duplicated(keep=False).to_numpy()
        old = np.flatnonzero(likely & own & (np.arange(len(own)) < self.first_new))
        drawn = np.empty((len(cases), self.m), np.int64)
        for row, (user, answer) in enumerate(zip(cases.user, cases.target)):
            of_new = self.m // 2 + (self.m % 2) * int(rng.integers(2))
            is_new = int(answer >= self.first_new)
            had = np.append(self.everyone[user], answer)
            others = [
                self._alike(items[~np.isin(items, had)], answer, count, rng)
                for items, count in ((new, of_new - is_new), (old, self.m - of_new - (1 - is_new)))
            ]
            drawn[row] = np.concatenate([[answer], *others])
        return cases, rng.permuted(drawn, axis=1)

    def _alike(self, items: np.ndarray, answer: int, count: int, rng: np.random.Generator) -> np.ndarray:
        """``count`` different ones among ``MATCHED`` times as many that are nearest to the answer in popularity."""
        if len(items) < count:
            raise KitError("too few items are left for a mixed candidate set; take a smaller data.candidates")
        items = rng.permutation(items)  # else equal counts would always give the same items
        away = np.log1p(self.counts[items]) - np.log1p(self.counts[answer])
        near = items[np.argsort(np.abs(away), kind="stable")[: MATCHED * count]]
        return rng.choice(near, count, replace=False)


def _half_of_each(cold: Cases, warm: Cases, rng: np.random.Generator) -> Cases:
    """Of the users of both, half with their case of the one, half with that of the other."""
    both = np.intersect1d(cold.user, warm.user)
    first = rng.permutation(np.arange(len(both)) % 2).astype(bool)
    parts = [c.take(np.searchsorted(c.user, both[of])) for c, of in ((cold, first), (warm, ~first))]
    users, targets = (np.concatenate([getattr(c, name) for c in parts]) for name in ("user", "target"))
    joined = Cases(users, Ragged.from_lists(sequence for c in parts for sequence in c.history), targets)
    return joined.take(np.argsort(joined.user, kind="stable"))
