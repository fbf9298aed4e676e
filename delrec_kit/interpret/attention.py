"""Where the language model looks: the attention that reaches each part of the prompt, raw and rolled out.

Raw weights say what one layer takes from the states below it, which are mixtures themselves. Attention rollout (Abnar
and Zuidema, arXiv 2005.00928) follows the mixtures down to the tokens: half of each layer's state is taken to come
through the residual path, the rest by the mean over its heads. What the tokens of a title look at in their own title is
left out of both.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch

from delrec_kit.interpret.pieces import pieces_of
from delrec_kit.llm import LanguageModel, Prompt, PromptWriter, SoftPrompt
from delrec_kit.run.progress import progress

ROLLOUT = "rollout"  # a kind beside "encoder" and "cross", of no layer and no head
ANSWERED_BY = "SEQ_2_SEQ_LM"  # a decoder that reads the encoder's last layer; others read layer by layer


def answering(kinds: Iterable[str]) -> str:
    """Which of these kinds of attention the answer looks with."""
    return "cross" if "cross" in set(kinds) else "encoder"


@dataclass(frozen=True)
class Attended:
    """One batch. start: row of its first prompt; weights: by kind (layers, B, heads, Q, L); looks: by kind (B, Q), the
    share of each token that looks; reads_last: whether all layers of "cross" read the last layer of "encoder"; answer:
    (B, Q) the share of each token that makes the answer, among those that look with ``answering``."""

    start: int
    prompts: Sequence[Prompt]
    weights: dict[str, torch.Tensor]
    looks: dict[str, torch.Tensor]
    reads_last: bool
    answer: torch.Tensor

    @property
    def answering(self) -> str:
        """The kind of attention that the answer looks with."""
        return answering(self.weights)

    def mass(self, kind: str) -> torch.Tensor:
        """(layers, B, heads, L) what reaches each token of the prompt."""
        return torch.einsum("nbhqk,bq->nbhk", self.weights[kind], self.looks[kind])

    def even(self, kind: str) -> torch.Tensor:
        """(B, L) what would reach each token if all that look looked alike at all they can see."""
        seen = (self.weights[kind] > 0).any(2).any(0).float()
        return torch.einsum("bqk,bq->bk", seen / seen.sum(-1, keepdim=True).clamp(min=1), self.looks[kind])

    def rollout(self) -> torch.Tensor:
        """(B, L) the share of the answer that comes from each token of the prompt; sums to 1."""
        prompt = self.weights["encoder"].mean(2)
        still = torch.eye(prompt.shape[-1], device=prompt.device)
        flows = [still.expand_as(prompt[0])]
        for layer in prompt:
            flows.append((layer + still) / 2 @ flows[-1])
        if self.answering == "encoder":
            return torch.einsum("bq,bqk->bk", self.answer, flows[-1])
        below = [flows[-1]] * len(flows) if self.reads_last else flows
        cross = self.mass("cross").mean(2)
        cross = cross / cross.sum(-1, keepdim=True)  # what titles look at in themselves does not count
        return torch.stack([torch.einsum("bq,bqk->bk", *each) for each in zip(cross, below)]).mean(0)


def attention_mass(
    llm: LanguageModel,
    writer: PromptWriter,
    prompts: Sequence[Prompt],
    candidates: np.ndarray,
    soft: SoftPrompt | None,
    batch: int = 16,
    by_place: bool = False,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Mean attention that reaches each segment of the prompt, for each kind, layer and head; and each user's.

    "cross" is looked at from the title tokens that are being scored, "encoder" from all prompt tokens; "rollout" is
    what the answer comes from, through all layers (layer and head 0). ``by_place`` tells soft tokens, titles of the
    history (by steps back from the last) and candidates apart.

    Returns:
        kind, layer, head, segment, mass (sums to 1 over segments), tokens (mean length of the segment), lift: mass over
        what would reach the segment if all tokens that look looked alike at all they can see, so that 1 is even
        attention, also where tokens see only those before them. And user (row of ``prompts``), kind, segment, mass,
        lift: means over layers and heads.
    """
    named = [_named(prompt, by_place) for prompt in prompts]
    names = list(dict.fromkeys(name for parts in named for name, _ in parts))
    sums: dict[str, list[torch.Tensor]] = {}
    tokens, users = np.zeros(len(names)), []
    for seen in attended(llm, writer, prompts, candidates, soft, batch):
        length = next(iter(seen.weights.values())).shape[-1]
        parts = named[seen.start : seen.start + len(seen.prompts)]
        member = torch.from_numpy(_membership(parts, names, length)).to(llm.device)
        tokens += member.sum(dim=(0, 1)).cpu().numpy()
        each = {kind: (seen.mass(kind), seen.even(kind)) for kind in seen.weights}
        each[ROLLOUT] = (seen.rollout()[None, :, None], seen.even(seen.answering))
        for kind, pair in each.items():
            mass, even = (_shares(tensor, member) for tensor in (pair[0], pair[1][None, :, None]))
            sums.setdefault(kind, []).append(torch.stack([mass.sum(1), even.expand_as(mass).sum(1)]).cpu())
            users += _by_user(kind, seen.start, mass.mean((0, 2)).cpu().numpy(), even[0, :, 0].cpu().numpy(), names)
    tokens /= len(prompts)
    tables = [_table(kind, sum(parts) / len(prompts), names, tokens) for kind, parts in sums.items()]
    columns = ["user", "kind", "segment", "mass", "lift"]
    return pd.concat(tables, ignore_index=True), pd.DataFrame(users, columns=columns)


def _shares(reached: torch.Tensor, member: torch.Tensor) -> torch.Tensor:
    """(layers, B, heads, segments) of what reaches each token (layers, B, heads, L); sums to 1."""
    mass = torch.einsum("nbhk,bks->nbhs", reached, member)
    return mass / mass.sum(-1, keepdim=True)


def _by_user(kind: str, start: int, mass: np.ndarray, even: np.ndarray, names: list[str]) -> list[tuple]:
    """A row for each user and each segment that it can see; mass and even (B, segments)."""
    return [
        (start + user, kind, names[at], float(mass[user, at]), float(mass[user, at] / even[user, at]))
        for user, at in zip(*np.nonzero(even > 0), strict=True)
    ]


def attention_by_piece(
    llm: LanguageModel,
    writer: PromptWriter,
    prompts: Sequence[Prompt],
    candidates: np.ndarray,
    soft: SoftPrompt | None,
    first: np.ndarray,
    batch: int = 16,
    layer: int | None = None,
    head: int | None = None,
) -> pd.DataFrame:
    """How much attention each piece of each prompt gets where the answer is made: from the tokens of the title that is
    chosen, column ``first`` (U,) of the candidates; in a model that compares vectors, from the tokens whose states it
    compares.

    Returns:
        user (row of ``prompts``), name, index, attention (of this ``layer`` and ``head``, or the mean over them) and
        rollout (of all), each the sum over the tokens of the piece.
    """
    rows = []
    for seen in attended(llm, writer, prompts, candidates, soft, batch, first):
        mass = seen.mass(seen.answering)
        mass = mass if layer is None else mass[layer, None]
        mass = mass if head is None else mass[:, :, head, None]
        raw = mass.mean(dim=(0, 2)).cpu().numpy()
        rolled = seen.rollout().cpu().numpy()
        for row, prompt in enumerate(seen.prompts):
            rows += [
                (seen.start + row, p.name, p.index, float(raw[row, p.places].sum()), float(rolled[row, p.places].sum()))
                for p in pieces_of(prompt)
            ]
    return pd.DataFrame(rows, columns=["user", "name", "index", "attention", "rollout"])


def attended(
    llm: LanguageModel,
    writer: PromptWriter,
    prompts: Sequence[Prompt],
    candidates: np.ndarray,
    soft: SoftPrompt | None,
    batch: int,
    first: np.ndarray | None = None,
) -> Iterator[Attended]:
    """The attention of the prompts batch by batch: from all tokens alike, or from those that make the answer, where
    ``first`` (U,) says which column of the candidates is chosen."""
    for start in progress(range(0, len(prompts), batch), "attention"):
        chosen = prompts[start : start + batch]
        titles = writer.pack(chosen, candidates[start : start + batch]).to(llm.device)
        asked = writer.batch(chosen).to(llm.device)
        looks = {"encoder": asked.mask.bool(), "cross": titles.block >= 0}
        if first is not None:
            column = torch.from_numpy(first[start : start + batch]).to(llm.device)
            looks = {"encoder": llm.compared(asked), "cross": titles.block == column[:, None]}
        weights = llm.attentions(asked, titles, None if soft is None else soft(asked))
        looks["answer"] = looks["cross"] if answering(weights) == "cross" else llm.compared(asked)
        shares = {kind: looks[kind].float() / looks[kind].sum(1, keepdim=True) for kind in (*weights, "answer")}
        answer = shares.pop("answer")
        yield Attended(start, chosen, weights, shares, llm.task_type == ANSWERED_BY, answer)


def _named(prompt: Prompt, by_place: bool) -> list[tuple[str, np.ndarray]]:
    """The parts of the prompt that are told apart, and the places of their tokens."""
    whole = [(s.name, np.arange(s.start, s.stop)) for s in prompt.segments]
    if not by_place:
        return whole
    pieces = pieces_of(prompt)
    taken = {piece.name for piece in pieces}
    last = max((piece.index for piece in pieces if piece.name == "history"), default=0)
    names = {"soft": lambda i: f"P{i + 1}", "history": lambda i: f"title {last - i + 1} back"}
    names |= {"candidates": lambda i: f"candidate {i + 1}", "teacher": lambda i: f"suggestion {i + 1}"}
    return [part for part in whole if part[0] not in taken] + [(names[p.name](p.index), p.places) for p in pieces]


def _membership(parts: Sequence[list[tuple[str, np.ndarray]]], names: list[str], length: int) -> np.ndarray:
    """(B, L, segments) 1 where a token belongs to a segment."""
    member = np.zeros((len(parts), length, len(names)), dtype=np.float32)
    for row, own in enumerate(parts):
        for name, places in own:
            member[row, places, names.index(name)] = 1
    return member


def _table(kind: str, sums: torch.Tensor, names: list[str], tokens: np.ndarray) -> pd.DataFrame:
    """sums: (2, layers, heads, segments) mass, and what even attention would give."""
    mass, even = sums.numpy()
    layers, heads, _ = mass.shape
    index = pd.MultiIndex.from_product([range(layers), range(heads), names], names=["layer", "head", "segment"])
    table = pd.DataFrame({"mass": mass.ravel(), "even": even.ravel()}, index=index).reset_index()
    table = table[table["even"] > 0].assign(kind=kind)  # the rest cannot be looked at
    table["tokens"] = table["segment"].map(dict(zip(names, tokens, strict=True)))
    return table.assign(lift=table["mass"] / table["even"]).drop(columns="even")
