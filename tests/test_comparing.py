import numpy as np

from delrec_kit.comparing import _ranks, places
from delrec_kit.evaluation import means


def test_an_answer_that_is_not_listed_is_missed_by_all():
    items = np.array([[3, 5, 7], [3, 5, 7], [9, 8, 7]])
    place = places(items, np.array([5, 4, 9]))
    assert place.tolist() == [1, -1, 0]
    ranks = _ranks(np.array([[0.1, 0.9, 0.5], [0.9, 0.5, 0.1], [0.1, 0.2, 0.3]]), place)
    assert ranks.tolist() == [1.0, np.inf, 3.0]
    assert means(ranks) == {
        "HR@1": 1 / 3, "HR@5": 2 / 3, "HR@10": 2 / 3, "NDCG@5": 0.5, "NDCG@10": 0.5, "MRR": (1 + 1 / 3) / 3,
    }  # fmt: skip
