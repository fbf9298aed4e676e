"""Integrated gradients: they add up, whatever the family, and find the one piece that a constructed answer hangs on."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch

from delrec_kit.data import Domain
from delrec_kit.interpret import integrated_gradients, pieces_of
from delrec_kit.llm import PromptWriter, SoftPrompt, load_llm
from delrec_kit.settings.config import LlmConfig

spec = importlib.util.spec_from_file_location("families", Path(__file__).parents[1] / "families.py")
families = importlib.util.module_from_spec(spec)
spec.loader.exec_module(families)
K = 3
CANDIDATES = np.array([[4, 5, 6], [7, 8, 9]])


def prompts_of(writer):
    histories = ([1, 2, 10], [11, 12, 13, 14])
    slots = [{"history": h, "candidates": row} for h, row in zip(histories, CANDIDATES, strict=True)]
    return [writer.write("final", one, K) for one in slots]


@pytest.mark.parametrize("name", ["t5", "llama", "bert"])
@pytest.mark.parametrize("quantization", ["fp32", "nf4"])
def test_the_shares_add_up_in_every_family(name, quantization, toy_llm_folder, tmp_path):
    folder = toy_llm_folder if name == "t5" else families.make_model(tmp_path, name)
    llm = load_llm(LlmConfig(name=str(folder), quantization=quantization), "cpu")
    writer = PromptWriter(llm.tokenizer, Domain(), families.TITLES, format=llm.format)
    llm.study(writer.table)
    soft = SoftPrompt.untrained(llm, K, seed=0).requires_grad_(False)
    table, sums = integrated_gradients(llm, writer, prompts_of(writer), CANDIDATES, soft, steps=256)
    assert table.groupby("user").size().tolist() == [3 + K + 3, 4 + K + 3]
    shares = table.groupby("user")["gradients"].sum().to_numpy()
    np.testing.assert_allclose(shares, sums["total"] + sums["delta"], rtol=1e-3, atol=1e-3)
    assert (sums["delta"].abs() < 0.15 * sums["total"].abs() + 0.05).all(), sums
    assert table["gradients"].abs().max() > 1e-2
    assert llm._instead is None


@pytest.mark.parametrize("piece", [("history", 1), ("soft", 2), ("candidates", 0)])
def test_the_piece_that_decides_gets_it_all(piece, plain_llm, writer, monkeypatch):
    prompts, direction = prompts_of(writer), torch.randn(64, generator=torch.Generator().manual_seed(0))
    places = [next(p.places for p in pieces_of(prompt) if (p.name, p.index) == piece) for prompt in prompts]
    soft = SoftPrompt.untrained(plain_llm, K, seed=0).requires_grad_(False)
    which = iter(range(len(prompts)))

    def score(asked, titles, P=None, length_normalised=False):
        told = plain_llm.embed(asked, P)[:, places[state["user"]]].sum(1) @ direction
        return torch.stack([told, torch.zeros_like(told), torch.zeros_like(told)], dim=1)

    state = {"user": next(which)}
    monkeypatch.setattr(plain_llm, "score_titles", score)
    for user in range(len(prompts)):
        state["user"] = user
        table, sums = integrated_gradients(plain_llm, writer, [prompts[user]], CANDIDATES[user][None], soft, steps=64)
        own = (table["name"] == piece[0]) & (table["index"] == piece[1])
        assert table.loc[~own, "gradients"].abs().max() < 1e-5
        assert table.loc[own, "gradients"].item() == pytest.approx(sums["total"].item(), rel=0.05, abs=1e-3)
