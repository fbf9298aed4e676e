import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from delrec_kit.data import Cases, Ragged, Split, answer_index, draw_candidates, draw_distractors, leave_one_out
from delrec_kit.settings.errors import KitError

N = 30


def split_of(lists, titles=None):
    sequences, everyone = Ragged.from_lists(lists), np.arange(len(lists))
    titles = titles or ["", *(f"Title {i}" for i in range(1, N + 1))]
    last = np.array([row[-1] for row in lists])
    cases = Cases(everyone, sequences.drop_last(1), last)
    before = Cases(everyone, sequences.drop_last(2), np.array([row[-2] for row in lists]))
    return Split(titles, titles, [f"u{u}" for u in everyone], sequences.drop_last(2), before, cases)


LISTS = st.lists(st.lists(st.integers(1, N), min_size=3, max_size=24), min_size=1, max_size=8)


@given(LISTS, st.integers(2, 6), st.integers(0, 2**31))
@settings(max_examples=100)
def test_what_candidate_sets_promise(lists, m, seed):
    split = split_of(lists)
    for cases in (split.valid, split.test):
        drawn = draw_candidates(split, cases, m, seed)
        assert drawn.shape == (len(lists), m) and drawn.dtype == np.int64
        assert drawn.min() >= 1 and drawn.max() <= N
        assert ((drawn == cases.target[:, None]).sum(1) == 1).all(), "the answer stands there once"
        for row, own, target in zip(drawn.tolist(), lists, cases.target):
            assert len(set(row)) == m
            assert set(row) & set(own) == {target}, "no distractor was ever consumed, in any part of the split"
        assert np.array_equal(drawn, draw_candidates(split, cases, m, seed))
        assert np.array_equal(drawn[np.arange(len(lists)), answer_index(drawn, cases.target)], cases.target)


def test_another_seed_draws_other_sets_in_another_order():
    split = split_of([[1, 2, 3 + u % 5] for u in range(40)])
    sets = [draw_candidates(split, split.test, 8, seed) for seed in (0, 1)]
    assert (np.sort(sets[0]) != np.sort(sets[1])).any(axis=1).mean() > 0.9
    places = answer_index(sets[0], split.test.target)
    assert len(np.unique(places)) == 8 and np.bincount(places).max() < 20, "the answer stands anywhere"


def test_distractors_are_uniform_over_what_is_free():
    split = split_of([[1, 2, 3]] * 4000)
    drawn = draw_candidates(split, split.test, 10, 0)
    counts = np.bincount(drawn.ravel(), minlength=N + 1)[4:]
    expected = 4000 * 9 / 27
    assert abs(counts / expected - 1).max() < 0.12
    assert counts.sum() == 4000 * 9


def test_uniform_too_where_most_of_the_catalogue_is_consumed():
    split = split_of([list(range(1, 25))] * 3000)
    counts = np.bincount(draw_candidates(split, split.test, 4, 0).ravel(), minlength=N + 1)
    assert counts[24] == 3000 and counts[:24].sum() == 0
    assert abs(counts[25:] / 1500 - 1).max() < 0.1


def test_equal_titles_never_share_a_set_nor_stand_for_a_consumed_item():
    others = [f"Title {i}" for i in range(3, N - 9)] + ["Twin"] * 6
    titles = ["", "Mine", "Answer", *others, "Mine", "Answer", "x", "y"]
    split = split_of([[3, 4, 1, 2]] * 400, titles)
    drawn = draw_candidates(split, split.test, 15, 0)
    for row in drawn:
        assert len({titles[i] for i in row}) == 15
        assert [titles[i] for i in row].count("Answer") == 1 and "Mine" not in {titles[i] for i in row}
    twins = np.isin(drawn, [i for i, t in enumerate(titles) if t == "Twin"])
    assert twins.any() and len(np.unique(drawn[twins])) == 6


def test_m_larger_than_the_catalogue_allows():
    split = split_of([[1, 2, 3], list(range(1, 22))])
    assert draw_candidates(split, split.test, 10, 0).shape == (2, 10)
    with pytest.raises(KitError, match=r"data\.candidates=11 .* 30 items, user 'u1' leaves 9 .* at most 10"):
        draw_candidates(split, split.test, 11, 0)
    greedy = split_of([list(range(1, N + 1))])
    with pytest.raises(KitError, match="user 'u0' leaves 0 titles as distractors; leave this user out"):
        draw_candidates(greedy, greedy.test, 2, 0)
    with pytest.raises(KitError, match=r"data\.candidates=11 .* at most 10"):
        draw_distractors(split.consumed(), np.array([1]), np.array([4]), 10, np.random.default_rng(0), np.arange(N + 1))


def test_a_user_id_of_two_lines_is_named_in_one(made):
    rows = [("first\nsecond", i, i) for i in range(1, N - 3)]
    split = leave_one_out(made(rows, items=N), 3)
    with pytest.raises(KitError, match="user 'first second' leaves 4 "):
        draw_candidates(split, split.test, 6, 0)


def test_an_answer_that_the_user_had_before_still_leaves_room():
    split = split_of([[5, 4, 5]])
    row = draw_candidates(split, split.test, N - 1, 3)[0]
    assert sorted(row) == [i for i in range(1, N + 1) if i != 4]


def test_distractors_for_new_answers_of_one_user():
    consumed = Ragged.from_lists([[1, 2], [3]])
    users, answers = np.array([0] * 50 + [1] * 50), np.array([7] * 100)
    drawn = draw_distractors(consumed, users, answers, 5, np.random.default_rng(0), np.arange(N + 1))
    assert drawn.shape == (100, 5) and not np.isin(drawn, [7]).any()
    assert not np.isin(drawn[:50], [1, 2]).any() and not (drawn[50:] == 3).any()
    assert np.isin(drawn[50:], [1, 2]).any(), "what another user had is free"
    assert all(len(set(row)) == 5 for row in drawn.tolist())


def test_answer_index_refuses_sets_without_their_answer():
    with pytest.raises(ValueError, match="exactly once"):
        answer_index(np.array([[1, 2], [3, 4]]), np.array([1, 5]))
    with pytest.raises(ValueError, match="exactly once"):
        answer_index(np.array([[1, 1]]), np.array([1]))


def test_sets_of_a_real_split(made):
    rows = [(f"u{u}", (u * 7 + step * 3) % N + 1, step) for u in range(20) for step in range(6)]
    split = leave_one_out(made(rows, items=N), 3)
    drawn = draw_candidates(split, split.test, 12, 0)
    for user, row in enumerate(drawn):
        own = [r[1] for r in rows if r[0] == split.user_keys[user]]
        assert set(row) & set(own) == {split.test.target[user]}
