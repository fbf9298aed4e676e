import numpy as np
import pytest

from delrec_kit.data import Cases, Ragged
from delrec_kit.teachers import Markov, Popularity


def cases(*histories) -> Cases:
    return Cases.of_histories(Ragged.from_lists(histories))


def test_popularity_counts_training_interactions(make_split):
    split = make_split([[1, 2, 9, 9], [1, 3, 9, 9], [1, 2, 9, 9]], 9)
    scores = Popularity(split).scores(cases([5], []))
    assert scores.shape == (2, 10) and np.all(scores[:, 0] == -np.inf)
    assert scores[0, [1, 2, 3, 9]].tolist() == pytest.approx([3 / 6, 2 / 6, 1 / 6, 0])
    assert np.array_equal(scores[0], scores[1])


def test_markov_counts_followers_and_backs_off_to_popularity(make_split):
    split = make_split([[1, 2, 9, 9], [1, 3, 9, 9], [1, 2, 9, 9], [2, 4, 9, 9]], 9)
    scores = Markov(split, prior=1.0).scores(cases([4, 1], [3], []))
    share = np.array([3, 3, 1, 1]) / 8
    assert scores[0, 1:5] == pytest.approx((np.array([0, 2, 1, 0]) + share) / 4)
    assert scores[1, 1:5] == pytest.approx(share) and scores[2, 1:5] == pytest.approx(share)
    assert np.all(scores[:, 0] == -np.inf) and np.allclose(scores[:, 1:].sum(axis=1), 1)


def test_sequences_are_not_joined(make_split):
    split = make_split([[1, 2, 9, 9], [9, 9], [3, 4, 9, 9]], 9)  # the second user has no training items
    assert Markov(split).follows[2, 3] == 0 and Markov(split).follows[3, 4] == 1


def test_markov_learns_the_cycle(cyclic_split):
    scores = Markov(cyclic_split).scores(cyclic_split.test)
    assert np.array_equal(scores.argmax(axis=1), cyclic_split.test.target)


def test_targets_are_not_counted(make_split):
    one = make_split([[1, 2, 3, 4], [2, 1, 5, 6]], 9)
    two = make_split([[1, 2, 7, 8], [2, 1, 9, 9]], 9)
    people = cases([1], [2], [3])
    for baseline in (Popularity, Markov):
        assert np.array_equal(baseline(one).scores(people), baseline(two).scores(people))
