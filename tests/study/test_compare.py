import numpy as np

from delrec_kit.data import Cases, Ragged
from delrec_kit.evaluation import means
from delrec_kit.study.protocols import Ranked, reordered


def test_an_answer_that_is_not_listed_is_missed_by_all():
    sets = ranked([[3, 5, 7], [3, 5, 7], [9, 8, 7]], [5, 4, 9])
    assert sets.place.tolist() == [[1, -1, 0]]
    ranks = sets.ranks(np.array([[[0.1, 0.9, 0.5], [0.9, 0.5, 0.1], [0.1, 0.2, 0.3]]]))
    assert ranks.tolist() == [1.0, np.inf, 3.0]
    assert means(ranks) == {
        "HR@1": 1 / 3, "HR@5": 2 / 3, "HR@10": 2 / 3, "NDCG@5": 0.5, "NDCG@10": 0.5, "MRR": (1 + 1 / 3) / 3,
    }  # fmt: skip


def ranked(items, target):
    items = np.array(items)[None]
    users = np.arange(items.shape[1])
    return Ranked(Cases(users, Ragged.from_lists([[1]] * len(users)), np.array(target)), items, -items.astype(float))


def test_draws_are_averaged_user_by_user():
    one = ranked([[3, 5], [4, 6]], [5, 4])
    two = Ranked(one.cases, np.concatenate([one.items, [[[5, 8], [7, 4]]]]), one.teacher)
    ranks = two.ranks(np.array([[[1.0, 0.0], [1.0, 0.0]], [[1.0, 0.0], [1.0, 0.0]]]))
    assert ranks.tolist() == [[2.0, 1.0], [1.0, 2.0]]
    assert means(ranks)["HR@1"] == 0.5 and means(ranks)["MRR"] == 0.75


def test_other_orders_hold_the_same_items_with_their_scores():
    sets = ranked([[3, 5, 7], [9, 8, 7]], [5, 9])
    shuffled = reordered(sets, 40, seed=0)
    assert (np.sort(shuffled.items, axis=2) == np.sort(sets.items, axis=2)).all()
    assert (shuffled.teacher == -shuffled.items).all()
    assert len({tuple(row) for row in shuffled.items[:, 0].tolist()}) == 6
    assert (shuffled.ranks(shuffled.teacher) == sets.ranks(sets.teacher)[:, None]).all()
