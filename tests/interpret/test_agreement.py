import numpy as np
import pytest
from scipy.stats import kendalltau

from delrec_kit.interpret import MEASURES, agreement_per_user, agreement_table

TEACHER = np.array([[4.0, 3.0, 2.0, 1.0], [1.0, 2.0, 3.0, 4.0]])


@pytest.mark.parametrize(
    "scores, top1, overlap, kendall, kl",
    [(TEACHER, 1, 1, 1, 0), (-TEACHER, 0, 0, -1, 1.985), (np.zeros((2, 4)), 0.25, 0, 0, 0.439)],
    ids=["itself", "reversed", "ties share the first choice and win nothing"],
)
def test_known_agreements(scores, top1, overlap, kendall, kl):
    measured = agreement_per_user(scores, TEACHER, h=2)
    wanted = {"top1": [top1] * 2, "overlap": [overlap] * 2, "kendall": [kendall] * 2}
    assert {name: measured[name].tolist() for name in wanted} == wanted
    np.testing.assert_allclose(measured["kl"], kl, atol=1e-3)


def test_kendall_is_scipys():
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 6, (20, 9)).astype(float), rng.normal(size=(20, 9))
    np.testing.assert_allclose(agreement_per_user(x, y, 3)["kendall"], [kendalltau(a, b)[0] for a, b in zip(x, y)])


def test_the_table_holds_means_within_their_intervals():
    rng = np.random.default_rng(0)
    teacher = rng.normal(size=(200, 5))
    variants = {"near": teacher + 0.3 * rng.normal(size=(200, 5)), "random": rng.normal(size=(200, 5))}
    table = agreement_table(variants, teacher, h=2, resamples=300, seed=0)
    assert len(table) == 2 * len(MEASURES)
    assert ((table["low"] <= table["value"]) & (table["value"] <= table["high"])).all()
    top1 = table[table["measure"] == "top1"].set_index("variant")
    assert top1.loc["random", "value"] == pytest.approx(0.2, abs=0.08)
    assert top1.loc["near", "low"] > 0.6


def test_unequal_shapes_are_refused():
    with pytest.raises(ValueError, match=r"must have one shape"):
        agreement_per_user(TEACHER[:1], TEACHER, 2)
