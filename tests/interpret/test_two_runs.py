"""Two made runs whose differences are known."""

import numpy as np
import pandas as pd
import pytest

from delrec_kit.interpret import plot_two_runs, two_runs

USERS, STEPS = 60, 3


def made(better, step, lift, users=range(USERS)):
    """A run whose distilled P hits for the first ``better`` users, and changes its mind at ``step``."""
    users = list(users)
    hits = np.where(np.arange(len(users)) < better, 1, 2)
    ranks = pd.DataFrame({"teacher": 1.0, "llm_distilled_prompt": hits}, index=[f"u{user}" for user in users])
    at = pd.MultiIndex.from_product([["teacher", "llm_distilled_prompt"], range(1, STEPS + 1), users])
    recency = at.to_frame(index=False, name=["variant", "step", "user"])
    recency["changed"] = (recency["step"] == np.where(recency["variant"] == "teacher", 1, step)).astype(int)
    recency["moved"] = 0.0
    lifts = [(u, name, value + 0.1 * (u % 3)) for u in range(8) for name, value in (("soft", lift), ("history", 1.0))]
    attention = pd.DataFrame(lifts, columns=["user", "segment", "lift"]).assign(kind="cross", mass=0.5)
    return {"ranks": ranks, "recency": recency, "attention": attention}


def test_what_differs_is_said_with_its_interval():
    found = two_runs(made(20, 1, 2.0), made(50, 3, 5.0))
    table = found[found["what"] != "recency"].set_index(["what", "name"])
    hits = table.loc[("HR@1", "llm_distilled_prompt")]
    assert hits["difference"] == pytest.approx(0.5) and 0.3 < hits["low"] < 0.5 < hits["high"] < 0.7
    assert hits["p"] < 0.01 and table.loc[("HR@1", "teacher"), "p"] == 1 and found["paired"].all()
    same = table.loc[("HR@1", "teacher")]
    assert same["difference"] == same["low"] == same["high"] == 0
    profile = found[(found["what"] == "recency") & (found["name"] == "llm_distilled_prompt")]
    assert profile["one"].tolist() == [1, 0, 0] and profile["other"].tolist() == [0, 0, 1]
    assert (profile["low"] <= profile["difference"]).all() and (profile["difference"] <= profile["high"]).all()
    soft = table.loc[("attention, cross", "soft")]
    assert soft["difference"] == pytest.approx(3) == soft["low"]
    figure, _ = plot_two_runs(found, ("a", "b"))
    assert "1 of 2 methods surely differ" in figure.get_suptitle() and "+0.500" in figure.get_suptitle()
    starred = [text.get_text() for text in figure.axes[2].get_yticklabels()]
    assert starred == ["soft *", "history"] and soft["p"] < 0.02, "the lift of history does not differ"


def test_a_users_draws_are_averaged():
    runs = [made(20, 1, 2.0), made(50, 3, 5.0)]
    for run in runs:
        ranks = run["ranks"]["llm_distilled_prompt"]
        run["ranks"]["llm_distilled_prompt"] = [np.array([rank, 2.0]) for rank in ranks]
    hits = two_runs(*runs).set_index(["what", "name"]).loc[("HR@1", "llm_distilled_prompt")]
    assert (hits["one"], hits["other"]) == pytest.approx((10 / USERS, 25 / USERS))


def test_other_users_are_not_paired():
    paired = two_runs(made(20, 1, 1.0), made(21, 1, 1.0))
    apart = two_runs(made(20, 1, 1.0), made(21, 1, 1.0, range(100, 100 + USERS)))
    wide = [t.loc[t["name"] == "llm_distilled_prompt", "high"].iloc[0] for t in (paired, apart)]
    assert wide[1] > 3 * wide[0] and apart["p"].isna().all() and not apart["paired"].any()


def test_a_run_without_a_profile_is_compared_in_the_rest():
    bare = made(20, 1, 1.0)
    bare["recency"] = bare["recency"].iloc[:0]
    table = two_runs(bare, made(21, 1, 1.0))
    assert set(table["what"]) == {"HR@1", "attention, cross"}
    plot_two_runs(table, ("a", "b"))


def test_a_segment_that_some_users_lack_is_compared_over_the_others_and_corrected_with_the_rest():
    runs = [made(20, 1, 1.0), made(20, 1, 5.0)]
    for run, more in zip(runs, (0.0, 0.4)):
        seen = run["attention"]
        few = seen[(seen["segment"] == "history") & (seen["user"] < 6)].assign(segment="teacher")
        few["lift"] += more * (few["user"] - 1.6)  # differs on average, for some users the other way
        run["attention"] = pd.concat([seen, few], ignore_index=True)
    table = two_runs(*runs).set_index(["what", "name"]).loc["attention, cross"]
    alone = two_runs(*[{**run, "attention": run["attention"].query("segment == 'teacher'")} for run in runs])
    raw = alone.set_index(["what", "name"]).loc[("attention, cross", "teacher"), "p"]
    assert raw < 0.5 and table.loc["teacher", "p"] == pytest.approx(2 * raw) and table.loc["soft", "p"] < 0.05
