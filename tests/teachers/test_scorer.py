import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from delrec_kit.data import Cases, Ragged
from delrec_kit.teachers import CatalogueScorer, Popularity, catalogue_scores, expected_vectors, top_items
from delrec_kit.teachers import scorer as module

VECTORS = np.array([[9.0, 9.0], [1.0, 0.0], [0.0, 1.0], [0.0, -1.0]])
HISTORIES = Ragged.from_lists([[1], [2, 3], [3]])


class Fixed(CatalogueScorer):
    """The same scores after any history; counts how many cases it scored at a time."""

    def __init__(self, *scores):
        self.row, self.sizes = np.array([-np.inf, *scores], dtype=np.float32), []

    def catalogue(self, cases):
        self.sizes.append(len(cases))
        return np.tile(self.row, (len(cases), 1))


def test_people_without_a_target_are_nobody_of_the_data_unless_they_are_named():
    nobody, named = Cases.of_histories(HISTORIES), Cases.of_histories(HISTORIES, np.array([4, 5, 6]))
    assert nobody.user.tolist() == [-1] * 3 and named.user.tolist() == [4, 5, 6]
    assert nobody.target.tolist() == [0] * 3 and nobody.history == HISTORIES


def test_given_items_are_scored_part_by_part_as_the_whole_catalogue_is(random_split, monkeypatch):
    monkeypatch.setattr(module, "SCORES", 4 * 100)
    people = Cases.of_histories(Ragged.from_lists([[1 + u % 3] for u in range(600)]))
    fixed, items = Fixed(5.0, 1.0, 3.0), np.random.default_rng(0).integers(0, 4, (600, 5))
    assert np.array_equal(fixed.scores(people, items), np.take_along_axis(fixed.scores(people), items, 1))
    assert fixed.sizes == [256, 100, 100, 100, 44, 600], "the first part tells how wide the catalogue is"
    popularity, test = Popularity(random_split), random_split.test
    assert popularity.scores(test, test.target[:, None])[:, 0] == pytest.approx(popularity.share[test.target])
    assert fixed.scores(people.take([]), items[:0]).shape == (0, 5)


def test_what_was_had_is_scored_minus_infinity_only_where_that_is_asked_for():
    no, people = -np.inf, Cases.of_histories(HISTORIES)
    ((rows, scores),) = catalogue_scores(Fixed(5.0, 1.0, 3.0), people, without_history=True)
    assert rows.tolist() == [0, 1, 2]
    assert scores.tolist() == [[no, no, 1, 3], [no, 5, no, no], [no, 5, 1, no]]
    ((_, scores),) = catalogue_scores(Fixed(5.0, 1.0, 3.0), people)
    assert scores.tolist() == [[no, 5, 1, 3]] * 3


@given(hnp.arrays(np.float32, (3, 12), elements=st.integers(-3, 3).map(float)), st.integers(1, 6))
def test_top_items_are_the_best_allowed_ones(scores, h):
    exclude = Ragged.from_lists([[1, 2], [], [11, 11, 5]])
    top = top_items(scores, exclude, h)
    for row, history, best in zip(scores, exclude, top):
        allowed = [i for i in range(1, 12) if i not in history]
        assert best.tolist() == sorted(allowed, key=lambda i: (-row[i], i))[:h]


def test_too_few_items_are_refused():
    with pytest.raises(ValueError, match="only 1 items"):
        top_items(np.zeros((1, 4)), Ragged.from_lists([[1, 2]]), 2)


def test_the_mean_of_what_is_expected_without_the_history():
    said = expected_vectors(Fixed(2.0, np.log(3), 0.0), Cases.of_histories(HISTORIES), VECTORS)
    e2 = np.exp(2) / (np.exp(2) + 3)
    np.testing.assert_allclose(said, [[0, 0.5], [1, 0], [e2, 1 - e2]], rtol=1e-6, atol=1e-7)
