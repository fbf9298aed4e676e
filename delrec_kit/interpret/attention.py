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

from delrec_kit.interpret.question import COLUMNS, Question, pieces_of
from delrec_kit.llm import Prompt
from delrec_kit.run.progress import progress

BATCH = 16  # prompts at once
ROLLOUT = "rollout"  # a kind beside "encoder" and "cross", of no layer and no head
ANSWERED_BY = "SEQ_2_SEQ_LM"  # a decoder that reads the encoder's last layer; others read layer by layer
PLACES = {"soft": "P{}", "candidates": "candidate {}", "teacher": "suggestion {}", "history": "title {} back"}


def answering(kinds: Iterable[str]) -> str:
    """Which of these kinds of attention the answer looks with."""
    return "cross" if "cross" in set(kinds) else "encoder"


@dataclass(frozen=True)
class Attended:
    """The attention of B prompts. start: row of the first; weights: by kind (layers, B, heads, Q, L); looks: by kind
    (B, Q), how much each token that looks counts, 1 in all; reads_last: whether all layers of "cross" read the last
    layer of "encoder"; answer (B, Q): how much each token counts that makes the answer, of those that look with
    ``answering``."""

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
        """(layers, B, heads, L) what reaches each token of the prompt; of rollout one layer and head."""
        if kind == ROLLOUT:
            return self.rollout()[None, :, None]
        return torch.einsum("nbhqk,bq->nbhk", self.weights[kind], self.looks[kind])

    def even(self, kind: str) -> torch.Tensor:
        """(B, L) what would reach each token if all that look looked alike at all they can see."""
        kind = self.answering if kind == ROLLOUT else kind
        seen = (self.weights[kind] > 0).any(2).any(0).float()
        return torch.einsum("bqk,bq->bk", seen / seen.sum(-1, keepdim=True).clamp(min=1), self.looks[kind])

    def rollout(self) -> torch.Tensor:
        """(B, L) the share of the answer that comes from each token of the prompt; sums to 1."""
        flows = mixtures(self.weights["encoder"])
        if self.answering == "encoder":
            return torch.einsum("bq,bqk->bk", self.answer, flows[-1])
        below = [flows[-1]] * len(flows) if self.reads_last else flows
        cross = self.mass("cross").mean(2)
        cross = cross / cross.sum(-1, keepdim=True)  # what titles look at in themselves does not count
        return torch.stack([torch.einsum("bq,bqk->bk", *each) for each in zip(cross, below)]).mean(0)


def mixtures(weights: torch.Tensor) -> list[torch.Tensor]:
    """(B, L, L) below the first layer and after each: how much of each state comes from each token, rolled out through
    ``weights`` (layers, B, heads, L, L)."""
    prompt = weights.mean(2)
    still = torch.eye(prompt.shape[-1], device=prompt.device)
    flows = [still.expand_as(prompt[0])]
    for layer in prompt:
        flows.append((layer + still) / 2 @ flows[-1])
    return flows


def attention_mass(question: Question, by_place: bool = False) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Mean attention that reaches each segment of the prompt, for each kind, layer and head; and each user's.

    "cross" is looked at from the title tokens that are being scored, "encoder" from all prompt tokens; "rollout" is
    what the answer comes from, through all layers (layer and head 0). by_place: soft tokens, titles of the history (by
    steps back from the last), suggestions and candidates one by one.

    Returns:
        kind, layer, head, segment, mass (sums to 1 over segments), tokens (mean length of the segment), lift: mass over
        what would reach the segment if all tokens that look looked alike at all they can see, so that 1 is even
        attention, also where tokens see only those before them. And user (row of the cases), kind, segment, mass,
        lift: means over layers and heads.
    """
    parts = [_parts(prompt, by_place) for prompt in question.prompts]
    fullest = sorted(parts, key=len, reverse=True)  # first, so that all places stand in their order
    names = list(dict.fromkeys(name for own in fullest for name, _ in own))
    sums: dict[str, list[torch.Tensor]] = {}
    tokens, users = np.zeros(len(names)), []
    for seen in attended(question):
        member = _membership(parts[seen.start : seen.start + len(seen.prompts)], names, seen.weights["encoder"])
        tokens += member.sum(dim=(0, 1)).cpu().numpy()
        for kind in (*seen.weights, ROLLOUT):
            mass, even = (_by_segment(of, member) for of in (seen.mass(kind), seen.even(kind)[None, :, None]))
            sums.setdefault(kind, []).append(torch.stack([mass.sum(1), even.expand_as(mass).sum(1)]).cpu())
            each, fair = mass.mean((0, 2)).cpu().numpy(), even[0, :, 0].cpu().numpy()
            users += [
                (seen.start + row, kind, names[at], float(each[row, at]), float(each[row, at] / fair[row, at]))
                for row, at in zip(*np.nonzero(fair > 0), strict=True)  # what is not 0 can be seen
            ]
    lengths = dict(zip(names, tokens / len(parts), strict=True))
    tables = [_table(kind, sum(of) / len(parts), lengths) for kind, of in sums.items()]
    columns = ["user", "kind", "segment", "mass", "lift"]
    return pd.concat(tables, ignore_index=True), pd.DataFrame(users, columns=columns)


def attention_by_piece(question: Question, layer: int | None = None, head: int | None = None) -> pd.DataFrame:
    """How much attention each piece of each prompt gets where the answer is made: from the tokens of the title that is
    chosen; in a model that compares vectors, from the tokens whose states it compares.

    Returns:
        user (row of the cases), name, index, attention (of this ``layer`` and ``head``, or the mean over them) and
        rollout (of all), each the sum over the tokens of the piece.
    """
    rows = []
    for seen in attended(question, from_choice=True):
        mass = seen.mass(seen.answering)
        mass = mass if layer is None else mass[layer, None]
        mass = mass if head is None else mass[:, :, head, None]
        both = torch.stack([mass.mean(dim=(0, 2)), seen.rollout()]).cpu().numpy()
        for row in range(len(seen.prompts)):
            for piece in question.pieces[seen.start + row]:
                reached = (float(of[row, piece.places].sum()) for of in both)
                rows.append((seen.start + row, piece.name, piece.index, *reached))
    return pd.DataFrame(rows, columns=[*COLUMNS, "attention", ROLLOUT])


def attended(question: Question, from_choice: bool = False) -> Iterator[Attended]:
    """The attention of the prompts batch by batch: from all tokens alike, or from those that make the answer, the title
    that is chosen."""
    recommender, prompts = question.recommender, question.prompts
    for start in progress(range(0, len(prompts), BATCH), "attention"):
        chosen = prompts[start : start + BATCH]
        asked, titles = recommender.tensors(chosen, question.items[start : start + BATCH])
        weights, answers = recommender.attention(asked, titles), recommender.llm.read_out(asked)
        looks = {"encoder": asked.mask.bool(), "cross": titles.block >= 0}
        if from_choice:
            column = torch.from_numpy(question.choice[0][start : start + BATCH]).to(titles.block.device)
            looks = {"encoder": answers, "cross": titles.block == column[:, None]}
        looks["answer"] = looks["cross"] if answering(weights) == "cross" else answers
        shares = {kind: looks[kind].float() / looks[kind].sum(1, keepdim=True) for kind in (*weights, "answer")}
        answer = shares.pop("answer")
        yield Attended(start, chosen, weights, shares, recommender.llm.task_type == ANSWERED_BY, answer)


def _parts(prompt: Prompt, by_place: bool) -> list[tuple[str, np.ndarray]]:
    """Name and places of the prompt's segments, or of its pieces and what is left of the segments."""
    pieces = pieces_of(prompt) if by_place else []
    names = {piece.name for piece in pieces}
    whole = [(s.name, np.arange(s.start, s.stop)) for s in prompt.segments if s.name not in names]
    called = place_names([(piece.name, piece.index) for piece in pieces])
    return whole + [(name, piece.places) for name, piece in zip(called, pieces, strict=True)]


def place_names(pieces: Sequence[tuple[str, int]]) -> list[str]:
    """What pieces (kind, index) are called: soft tokens from P0, as in an exported tokenizer, titles of the history
    from the last one back, and others by their place in the list from 1."""
    titles = max((index + 1 for kind, index in pieces if kind == "history"), default=0)
    count = {"soft": lambda index: index, "history": lambda index: titles - index}
    return [PLACES[kind].format(count.get(kind, lambda at: at + 1)(index)) for kind, index in pieces]


def _membership(parts: Sequence[list[tuple[str, np.ndarray]]], names: list[str], like: torch.Tensor) -> torch.Tensor:
    """(B, L, segments) 1 where a token belongs to a segment, else 0; L and the device of ``like`` (…, L)."""
    member = np.zeros((len(parts), like.shape[-1], len(names)), dtype=np.float32)
    for row, own in enumerate(parts):
        for name, places in own:
            member[row, places, names.index(name)] = 1
    return torch.from_numpy(member).to(like.device)


def _by_segment(reached: torch.Tensor, member: torch.Tensor) -> torch.Tensor:
    """(layers, B, heads, segments) of what reaches each token (layers, B, heads, L); sums to 1."""
    mass = torch.einsum("nbhk,bks->nbhs", reached, member)
    return mass / mass.sum(-1, keepdim=True)


def _table(kind: str, means: torch.Tensor, tokens: dict[str, float]) -> pd.DataFrame:
    """means: (2, layers, heads, segments) mass, and what even attention would give; tokens: by segment."""
    mass, even = means.numpy()
    index = [range(mass.shape[0]), range(mass.shape[1]), tokens]
    index = pd.MultiIndex.from_product(index, names=["layer", "head", "segment"])
    table = pd.DataFrame({"mass": mass.ravel(), "even": even.ravel()}, index=index).reset_index()
    table = table[table["even"] > 0].assign(kind=kind)  # the rest cannot be looked at
    table["tokens"] = table["segment"].map(tokens)
    return table.assign(lift=table["mass"] / table["even"]).drop(columns="even")
