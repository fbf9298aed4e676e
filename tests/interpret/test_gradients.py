"""Integrated gradients: they add up, whatever the family, and find the one piece that a constructed answer hangs on."""

import families
import numpy as np
import pytest
import torch

from delrec_kit.data import Domain
from delrec_kit.interpret import integrated_gradients
from delrec_kit.llm import LlmRecommender, PromptWriter, SoftPrompt, load_llm
from delrec_kit.settings.config import LlmConfig

K = 3
HISTORIES, CANDIDATES = [[1, 2, 10], [11, 12, 13, 14]], np.array([[4, 5, 6], [7, 8, 9]])


@pytest.mark.parametrize("name", ["t5", "llama", "bert"])
@pytest.mark.parametrize("quantization", ["fp32", "nf4"])
def test_the_shares_add_up_in_every_family(name, quantization, toy_llm_folder, tmp_path, question):
    folder = toy_llm_folder if name == "t5" else families.make_model(tmp_path, name)
    llm = load_llm(LlmConfig(name=str(folder), quantization=quantization), "cpu")
    writer = PromptWriter(llm.tokenizer, Domain(), families.TITLES, format=llm.format)
    llm.encode_titles(writer.table)
    soft = SoftPrompt.untrained(llm, K, seed=0).requires_grad_(False)
    asked = question(LlmRecommender(llm, writer, soft), HISTORIES, CANDIDATES)
    table, sums = integrated_gradients(asked, steps=256)
    listed = 3 * llm.lists
    assert table.groupby("user").size().tolist() == [3 + K + listed, 4 + K + listed]
    shares = table.groupby("user")["gradients"].sum().to_numpy()
    np.testing.assert_allclose(shares, sums["total"] + sums["delta"], rtol=1e-3, atol=1e-3)
    assert (sums["delta"].abs() < 0.15 * sums["total"].abs() + 0.05).all(), sums
    assert table["gradients"].abs().max() > 1e-2
    assert llm._instead is None


@pytest.mark.parametrize("piece", [("history", 1), ("soft", 2), ("candidates", 0)])
def test_the_piece_that_decides_gets_it_all(piece, plain_llm, writer, question, monkeypatch):
    direction = torch.randn(64, generator=torch.Generator().manual_seed(0))
    soft = SoftPrompt.untrained(plain_llm, K, seed=0).requires_grad_(False)
    for user in range(len(HISTORIES)):
        asked = question(LlmRecommender(plain_llm, writer, soft), [HISTORIES[user]], CANDIDATES[[user]])
        places = next(p.places for p in asked.pieces[0] if (p.name, p.index) == piece)

        def score(prompts, titles, P=None, places=places):
            read = plain_llm.embed(prompts, P)[:, places].sum(1) @ direction
            return torch.stack([read, torch.zeros_like(read), torch.zeros_like(read)], dim=1)

        monkeypatch.setattr(plain_llm, "score_titles", score)
        table, sums = integrated_gradients(asked, steps=64)
        own = (table["name"] == piece[0]) & (table["index"] == piece[1])
        assert table.loc[~own, "gradients"].abs().max() < 1e-5
        assert table.loc[own, "gradients"].item() == pytest.approx(sums["total"].item(), rel=0.05, abs=1e-3)
