import numpy as np
import pytest

from delrec_kit.interpret import attention_mass, plot_attention, plot_heads
from delrec_kit.llm import SoftPrompt

CANDIDATES = np.array([[1, 2, 4], [6, 5, 8], [9, 10, 11]])


@pytest.fixture
def mass(plain_llm, writer):
    slots = [{"history": [7, 12], "candidates": row} for row in CANDIDATES]
    prompts = [writer.write("final", s, 3) for s in slots]
    soft = SoftPrompt.untrained(plain_llm, 3, seed=0)
    return attention_mass(plain_llm, writer, prompts, CANDIDATES, soft, batch=2)


def test_all_attention_is_accounted_for(mass):
    sums = mass.groupby(["kind", "layer", "head"])["mass"].sum()
    assert len(sums) == 2 * 2 * 4
    np.testing.assert_allclose(sums, 1, atol=1e-4)
    assert set(mass["segment"]) == {"instruction", "history", "soft", "candidates", "answer"}


def test_lift_is_mass_per_token_over_the_mean(mass):
    soft = mass[mass["segment"] == "soft"]
    assert (soft["tokens"] == 3).all()
    total = mass.drop_duplicates("segment")["tokens"].sum()
    np.testing.assert_allclose(soft["lift"], soft["mass"] / 3 * total)
    assert mass["lift"].std() > 0.01


def test_pictures_draw_what_the_table_says(mass):
    figure, shown = plot_attention(mass)
    assert len(figure.axes) >= 2 and len(shown) == 2 * 2 * 5
    figure, shown = plot_heads(mass)
    assert (shown["segment"] == "soft").all() and len(shown) == 2 * 2 * 4
