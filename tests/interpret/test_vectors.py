from xml.etree import ElementTree

import numpy as np
import pandas as pd
import torch

from delrec_kit.interpret import (
    nearest_words,
    plot_cosines,
    plot_growth,
    plot_projection,
    plot_words,
    projection,
    title_cosines,
)
from delrec_kit.llm import SoftPrompt
from delrec_kit.settings import style


def test_a_prompt_made_of_words_lies_at_these_words(plain_llm):
    ids = [plain_llm.tokenizer.convert_tokens_to_ids(word) for word in ("Moon", "Harbour")]
    soft = SoftPrompt(3.0 * plain_llm.embeddings.weight[ids].detach())
    untrained = SoftPrompt.untrained(plain_llm, 2, seed=1)
    table = nearest_words(plain_llm, soft, untrained, top=2)
    first = table[table["rank"] == 0]
    assert first["word"].tolist() == ["Moon", "Harbour"]
    np.testing.assert_allclose(first["cosine"], 1, atol=1e-5)
    assert (table["chance"] > 0.2).all() and (table["chance"] < 0.8).all() and not first["began"].any()
    start = SoftPrompt.untrained(plain_llm, 40, seed=1)
    steps = torch.randn(40, 64, generator=torch.Generator().manual_seed(5))
    for length in (0.5, 3.0):  # near the word that each began as, and far from it
        size = length * start.vectors.norm(dim=1, keepdim=True) / 8
        random = nearest_words(plain_llm, SoftPrompt(start.vectors.detach() + size * steps), start, top=1)
        assert (random["cosine"] > random["chance"]).mean() < 0.2, "random steps find nothing"
        assert random["began"].all() == (length < 1)
    figure, numbers = plot_words(table)
    assert "2 of 2" in figure._suptitle.get_text() and len(numbers) == len(table)


def test_a_prompt_made_of_a_title_lies_at_that_title(plain_llm, writer):
    word = plain_llm.tokenizer.convert_tokens_to_ids("Rising")  # the whole of title 6
    soft = SoftPrompt(plain_llm.embeddings.weight[[word]].detach())
    untrained = SoftPrompt.untrained(plain_llm, 1, seed=0)
    table, share = projection(plain_llm, writer, soft, untrained)
    assert table["what"].value_counts().to_dict() == {"title": 18, "untrained P": 1, "distilled P": 1}
    at = table.set_index(["what", "name"])[["x", "y"]]
    apart = np.linalg.norm(at.loc["title"].to_numpy() - at.loc[("distilled P", "P0")].to_numpy(), axis=1)
    assert apart.argmin() == 5 and 0.1 < share < 1
    figure, numbers = plot_projection(table, share)
    assert len(numbers) == 20 and "soft token" in figure._suptitle.get_text()


def test_the_nearest_title_is_found_and_chance_is_said(plain_llm, writer):
    titles = [f"title {item}" for item in range(len(writer.table.lengths))]
    words = plain_llm.embeddings.weight.detach()
    at = torch.stack([words[torch.from_numpy(writer.table[item])].mean(0) for item in (6, 9)])
    untrained = SoftPrompt.untrained(plain_llm, 2, seed=0)
    table = title_cosines(plain_llm, writer, titles, SoftPrompt(at), untrained, top=2)
    best = table.loc[table.groupby("token")["cosine"].idxmax()]
    assert best["title"].tolist() == ["title 6", "title 9"]
    np.testing.assert_allclose(best["cosine"], 1, atol=1e-5)
    assert len(table) == 2 * table["title"].nunique() and 0.1 < table["chance"].iloc[0] < 0.9
    figure, numbers = plot_cosines(table)
    assert "2 of 2" in figure.get_suptitle() and len(numbers) == len(table)


def test_a_saved_projection_says_each_name_under_the_pointer(tmp_path):
    rows = [("title", f"<Film> & {n}", n, n) for n in range(3)]
    rows += [(f"{kind} P", "P0", n, 1.0) for n, kind in enumerate(("untrained", "distilled"))]
    style.save_figure(*plot_projection(pd.DataFrame(rows, columns=["what", "name", "x", "y"]), 0.5), tmp_path, "p")
    tree = ElementTree.parse(tmp_path / "p.svg")
    said = {use.findtext(f"{{{style.SVG}}}title") for use in tree.iter(f"{{{style.SVG}}}use")}
    assert {"<Film> & 0", "<Film> & 1", "<Film> & 2", "P0"} <= said


def test_every_soft_token_grows_in_a_row_of_its_own():
    moved = np.arange(30.0).reshape(3, 10) / 7
    rows = [(10 * step, token, 1 + moved[step, token], moved[step, token]) for step in range(3) for token in range(10)]
    table = pd.DataFrame(rows, columns=["step", "token", "length", "moved"])
    figure, numbers = plot_growth(table)
    axis = figure.axes[0]
    assert [text.get_text() for text in axis.get_yticklabels()] == [f"P{n}" for n in range(10)]
    np.testing.assert_allclose(axis.collections[0].get_array().reshape(10, 3), moved.T)
    assert numbers is table and f"{moved[2].mean():.1f} times its first length away" in figure.get_suptitle()
