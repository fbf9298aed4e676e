"""The made world: its catalogue is fixed, and its people choose by the distribution that it states."""

import numpy as np
import pytest
from as_frame import as_frame

from delrec_kit.data.made_world.titles import LEXICON, make_catalogue
from delrec_kit.data.made_world.world import MIXTURE, PATTERNS, make_world


@pytest.fixture(scope="module")
def world():
    return make_world(1000, 360, 0)


@pytest.fixture(scope="module")
def sequences(world):
    frame = as_frame(world.interactions)
    place = world.interactions.titles.index.get_indexer(frame["item"])
    return np.split(place, np.flatnonzero(frame["user"].to_numpy()[1:] != frame["user"].to_numpy()[:-1]) + 1)


def test_the_catalogue_is_the_same_whatever_the_users_seed(world):
    other = make_world(30, 360, 7)
    assert list(other.interactions.titles) == list(world.interactions.titles) == list(world.films["title"])
    assert not np.array_equal(other.popularity, world.popularity)


def test_a_seed_gives_one_world():
    one, two = make_world(40, 360, 3), make_world(40, 360, 3)
    assert as_frame(one.interactions).equals(as_frame(two.interactions))
    assert not as_frame(one.interactions).equals(as_frame(make_world(40, 360, 4).interactions))


def test_titles_are_distinct_and_their_words_tell_the_genre(world):
    films = world.films
    assert films["title"].is_unique
    owners: dict[str, set[int]] = {}
    for title, genre in zip(films["title"], films["genre"], strict=True):
        for word in title.split()[:2]:
            owners.setdefault(word, set()).add(genre)
    assert all(len(genres) == 1 for genres in owners.values())
    assert films["genre"].nunique() == len(LEXICON) == 9


def test_series_are_whole_and_their_parts_are_named_in_order(world):
    for _, parts in world.films[world.films["series"] >= 0].groupby("series"):
        parts = parts.sort_values("part")
        assert list(parts["part"]) == [1, 2, 3, 4, 5]
        assert parts["year"].is_monotonic_increasing
        assert [title.split()[2] for title in parts["title"]][1:] == ["II", "III", "IV", "V"]


@pytest.mark.parametrize("items", [19, 361])
def test_a_catalogue_that_cannot_be_made_is_refused(items):
    with pytest.raises(ValueError, match="20 to 360 films"):
        make_catalogue(items)


def test_small_catalogues_have_no_torn_series():
    films = make_catalogue(50)
    assert len(films) == 50
    assert (films[films["series"] >= 0].groupby("series").size() == 5).all()


def test_probabilities_sum_to_one_and_nothing_is_seen_twice(world, sequences):
    assert sum(MIXTURE.values()) == pytest.approx(1.0)
    for user in range(0, 1000, 97):
        for stop in (0, 1, 5, len(sequences[user]) - 1):
            history = sequences[user][:stop]
            chances = sum(world.parts_of_next(user, history).values())
            assert chances.sum() == pytest.approx(1.0)
            assert (chances >= 0).all()
            assert (chances[history] == 0).all()
    assert all(len(set(s)) == len(s) for s in sequences)


def test_a_sequel_is_the_likeliest_next_film(world):
    first = int(np.flatnonzero((world.films["series"] >= 0) & (world.films["part"] == 1))[0])
    same = world.films["series"] == world.films["series"].iloc[first]
    second = int(np.flatnonzero(same & (world.films["part"] == 2))[0])
    chances = sum(world.parts_of_next(0, np.array([first])).values())
    assert chances.argmax() == second
    assert 0.4 < chances[second] < 0.7


def test_people_choose_by_the_stated_distribution(world, sequences):
    """Mean log-probability of the choices against its expectation, the entropy: off by under four standard errors."""
    surprise, entropy = [], []
    for user, films in enumerate(sequences[:200]):
        for stop in range(0, len(films), 4):
            chances = sum(world.parts_of_next(user, films[:stop]).values())
            positive = chances[chances > 0]
            surprise.append(-np.log(chances[films[stop]]))
            entropy.append(-(positive * np.log(positive)).sum())
    gap = np.array(surprise) - np.array(entropy)
    assert len(gap) > 1000
    assert abs(gap.mean()) < 4 * gap.std() / np.sqrt(len(gap))
    assert np.mean(entropy) < 0.8 * np.log(360)


def test_each_source_of_knowledge_is_worth_what_was_planned(world, sequences):
    """HR@1 among 15: the oracle about .7, one that knows only what titles show about .5, popularity about .2."""
    rng = np.random.default_rng(1)
    count = np.bincount(np.concatenate([s[:-1] for s in sequences]), minlength=360)
    right = {"oracle": [], "shown": [], "popularity": []}
    for user, films in enumerate(sequences):
        history, answer = films[:-1], films[-1]
        others = rng.choice(np.setdiff1d(np.arange(360), films), 14, replace=False)
        candidates = np.concatenate([[answer], others])
        seen = np.zeros((1, 360), dtype=bool)
        seen[0, history] = True
        parts = world.components(np.array([user]), history[None, :-3:-1], seen)
        scores = {
            "oracle": sum(parts.values())[0],
            "shown": sum(parts[name] for name in PATTERNS["common to all"])[0],
            "popularity": count,
        }
        for name, score in scores.items():
            right[name].append(score[candidates].argmax() == 0)
    rate = {name: np.mean(hits) for name, hits in right.items()}
    assert 0.65 < rate["oracle"] < 0.8
    assert 0.4 < rate["shown"] < 0.58
    assert 0.14 < rate["popularity"] < 0.27


def test_the_table_is_plausible(world):
    frame = as_frame(world.interactions)
    assert 20_000 < len(frame) < 30_000
    assert frame.groupby("user").size().min() >= 12
    assert (frame.groupby("user")["timestamp"].diff().dropna() > 0).all()
    years = (frame["timestamp"].max() - frame["timestamp"].min()) / (365 * 86_400)
    assert 2 < years < 8
    assert any("synthetic" in notice for notice in world.interactions.notices)
