"""A run's recommender as a plain Hugging Face checkpoint, which any program loads that knows its architecture.

The adapter is merged, P is k words ``<P0>`` …, and prompts are plain text. What was written is read back by
transformers alone and compared with the kit's own scores; the card says how far they are apart.
"""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModel, AutoModelForCausalLM, AutoModelForSeq2SeqLM, AutoTokenizer

from delrec_kit.llm import LlmRecommender
from delrec_kit.llm.plain import save_plain, soft_words
from delrec_kit.llm.plain_text import bound, pieces, plain_text
from delrec_kit.llm.titles import MAX_TITLE_TOKENS
from delrec_kit.run.directory import RunDirectory, write_json
from delrec_kit.run.progress import progress
from delrec_kit.settings.errors import KitError, nearest
from delrec_kit.settings.methods import METHODS
from delrec_kit.study import plain_scores
from delrec_kit.study.explain import row_to_ask
from delrec_kit.study.export_card import card
from delrec_kit.study.people import users_of
from delrec_kit.study.recommend import proposals
from delrec_kit.study.study import Study
from delrec_kit.training.merging import merged, save_prompt_tuning

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
CHECKED, SHOWN, TOKENISED = 8, 4, 64  # test cases whose scores are compared, which are examples, whose text is read
EMBEDDINGS, TITLES, TUNING = "prompt_embeds.safetensors", "titles.safetensors", "prompt_tuning"
LOADERS = {"SEQ_2_SEQ_LM": AutoModelForSeq2SeqLM, "CAUSAL_LM": AutoModelForCausalLM, "FEATURE_EXTRACTION": AutoModel}


@dataclass(frozen=True)
class Checked:
    """What came of reading back: prompts whose text is tokenised as in training, of how many; the largest
    difference of a score, in nats; first choices that are the same, of how many."""

    alike: int
    prompts: int
    difference: float
    choices: int
    cases: int

    @classmethod
    def of(cls, kit: np.ndarray, own: np.ndarray, alike: int = 0, prompts: int = 0) -> "Checked":
        """From two tables of scores (U, m)."""
        same = int((kit.argmax(1) == own.argmax(1)).sum())
        return cls(alike, prompts, float(np.abs(kit - own).max()), same, len(kit))

    def __str__(self) -> str:
        text = f"{self.alike} of {self.prompts} plain texts are tokenised as in training; " if self.prompts else ""
        return (
            f"{text}read back by transformers alone, scores of {self.cases} test cases differ by at most "
            f"{self.difference:.2g} nats, and {self.choices} first choices are the same"
        )


def export(
    run: RunDirectory,
    out: str | Path,
    method: str | None = None,
    dtype: str = "float32",
    users: Sequence[str] = (),
    tied: bool = False,
) -> str:
    """Write the checkpoint to the folder ``out``, which must not be there; returns a sentence on how exact it is.

    method: a row with a language model, by default DELRec. users: whose prompt embeddings are written where P is
    conditioned, by default the first eight of the test. tied: leave a tied output head tied, for programs that insist;
    likelihoods then change, and the sentence says how much. Raises KitError for a method that the run does not have or
    that plain text cannot ask, and an unknown user or dtype.
    """
    to, study = Path(out).expanduser().resolve(), Study(run)
    if to.exists():
        raise KitError(f"{to} is there already; name another folder")
    if dtype not in DTYPES:
        raise KitError(f"unknown dtype '{dtype}'{nearest(dtype, DTYPES)}")
    name = row_to_ask(study, method)
    if METHODS[name].prompt == "teacher" or run.config.llm.verbalizer != "title":
        raise KitError(f"{name} with llm.verbalizer={run.config.llm.verbalizer} cannot be asked in plain text alone")
    recommender = study.recommender(name)
    draft = to.with_name(f".{to.name}.draft")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    try:
        checked = _write(study, recommender, draft, DTYPES[dtype], users, tied)
        (draft / "README.md").write_text(
            card(study, recommender, dtype, str(checked), (draft / TUNING).is_dir()), encoding="utf-8"
        )
        draft.rename(to)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return str(checked)


@dataclass(frozen=True)
class Written:
    """A checkpoint in ``folder`` as transformers alone reads it back: told, model, tokenizer; and whose it is. bound:
    whether the tokenizer was told where the pieces of a prompt end."""

    study: Study
    recommender: LlmRecommender
    told: dict
    model: Any
    tokenizer: Any
    folder: Path
    bound: bool = False

    def by_text(self) -> Checked:
        """Write how prompts are written, and examples; compare."""
        study, recommender = self.study, self.recommender
        titles, (cases, items, _) = study.data.split.titles, study.ranked("test")
        some = np.arange(min(len(cases), TOKENISED))
        cases, items = cases.take(some), items[some]
        shown = [
            ([titles[i] for i in history[-recommender.history :]], [titles[i] for i in recommender.listed(row)])
            for history, row in zip(cases.history, items, strict=True)
        ]
        prompts = recommender.prompts(cases, items)
        way, alike = plain_text(recommender, study.data.domain, self.tokenizer, prompts, shown)
        if alike < len(prompts) and not self.bound:
            bound(recommender, study.data.domain, self.folder)
            tokenizer = AutoTokenizer.from_pretrained(self.folder, trust_remote_code=False)
            return replace(self, tokenizer=tokenizer, bound=True).by_text()
        self.told.update(way.told() if alike == len(prompts) else way.told() | pieces(recommender, self.tokenizer))
        few = some[:CHECKED]
        kit = recommender.scores(cases.take(few), items[few])
        asked = [(*plain_scores.ids_of(self.told, self.tokenizer, *shown[row]), items[row]) for row in few]
        own = np.stack([self.scores(*each) for each in progress(asked, "reading back")])
        rows = [
            {
                "history": shown[row][0],
                "candidates": [titles[i] for i in items[row]],
                "prompt": way.write(*shown[row]),
                "scores": [round(float(x), 5) for x in kit[row]],
            }
            for row in few[:SHOWN]
        ]
        _lines(rows, self.folder / "examples.jsonl")
        return Checked.of(kit, own, alike, len(prompts))

    def by_embeddings(self, users: Sequence[str]) -> Checked:
        """Write the prompts of users as embeddings, since P is another for each; compare.

        What is listed, and scored, is what the teacher proposes to each, as ``recommend`` does it.
        """
        study, recommender = self.study, self.recommender
        split, m = study.data.split, study.run.config.data.candidates
        people = users_of(study, users or [split.user_keys[u] for u in split.test.user[:CHECKED]])
        tensors, rows, kit, own = {}, [], [], []
        for group, items, listed in proposals(study, people, m):
            cases, items = people.cases.take(group), np.take_along_axis(items, listed, 1)
            prompts, scores = recommender.prompts(cases, items), recommender.scores(cases, items)
            for row, prompt, chosen, said in zip(group, prompts, items, scores, strict=True):
                batch = recommender.writer.batch([prompt]).to(recommender.llm.device)
                with torch.no_grad():
                    embedded = recommender.llm.embed(batch, recommender.soft(batch))[0].float().cpu().contiguous()
                inside = recommender.llm.read_out(batch)[0].cpu().tolist()
                names = {"items": [split.item_keys[i] for i in chosen], "titles": [split.titles[i] for i in chosen]}
                rows.append({"user": people.keys[row], **names, "scores": said.tolist(), "inside": inside})
                tensors[people.keys[row]] = embedded
                if len(kit) < CHECKED and len(chosen) == m:
                    kit.append(said)
                    own.append(self.scores(embedded, inside, chosen))
        if not kit:
            raise KitError("none of these users can be recommended to; name others with --user")
        save_file(tensors, self.folder / EMBEDDINGS)
        _lines(rows, self.folder / "users.jsonl")
        return Checked.of(np.stack(kit), np.stack(own))

    def scores(self, prompt: list | torch.Tensor, inside: list[bool], items: np.ndarray) -> np.ndarray:
        """(m,) scores of items behind a prompt (ids, or embeddings (L, d)), by what was written alone. inside: its
        tokens that a masked encoder reads out."""
        kind, prior = self.recommender.llm.task_type, self.recommender.prior
        if kind == "FEATURE_EXTRACTION":
            vectors = load_file(self.folder / TITLES)["vectors"][torch.from_numpy(items) - 1]
            raw = plain_scores.beside_titles(self.model, prompt, inside, vectors)
        else:
            score = plain_scores.behind_encoder if kind == "SEQ_2_SEQ_LM" else plain_scores.behind_prompt
            titles = [self.study.data.split.titles[i] for i in items]
            raw = score(self.told, self.model, self.tokenizer, prompt, titles)
        added = 0.0 if prior is None else prior[torch.from_numpy(items).to(prior.device)].cpu().numpy()
        return self.told["scale"] * np.array(raw) + added


def _write(
    study: Study, recommender: LlmRecommender, folder: Path, dtype: torch.dtype, users: Sequence[str], tied: bool
) -> Checked:
    name, conditioned = recommender.name, recommender.P is not None and bool(recommender.P.c)
    P = None if recommender.P is None or conditioned else recommender.P.vectors.detach()
    adapter = study.run.folder("adapter") / name if METHODS[name].learns_from else None
    llm = merged(study.run.config.llm, adapter, dtype)
    tokenizer = save_plain(llm.model, llm.tokenizer, P, _used(study, recommender), folder, tied)
    told = {
        "history": recommender.history,
        "lists_candidates": recommender.llm.lists,
        "gap": recommender.writer.format.answer_gap,
        "title_gap": recommender.writer.format.gap,
        "title_tokens": MAX_TITLE_TOKENS,
        "scale": recommender.scale,
        "soft_tokens": 0 if P is None else len(P),
    }
    _items(study, recommender).to_csv(folder / "items.csv", index=False)
    if recommender.llm.ranks_all:
        known = recommender.llm.vectors[1 : study.data.split.n_items + 1]
        save_file({"vectors": known.float().cpu().contiguous()}, folder / TITLES)
    model = LOADERS[llm.task_type].from_pretrained(folder, dtype=dtype, trust_remote_code=False).eval()
    written = Written(study, recommender, told, model, tokenizer, folder)
    checked = written.by_embeddings(users) if conditioned else written.by_text()
    if P is not None and told["template"].startswith(soft_words(1)[0]) and not recommender.writer.format.opening:
        save_prompt_tuning(llm, P, folder / TUNING)
    write_json(folder / "scoring.json", told)
    return checked


def _lines(rows: list[dict], file: Path) -> None:
    pd.DataFrame(rows).to_json(file, orient="records", lines=True, force_ascii=False, double_precision=5)


def _used(study: Study, recommender: LlmRecommender) -> set[int]:
    """Ids of all that prompts and titles are made of."""
    writer, (cases, items, _) = recommender.writer, study.ranked("test")
    prompts = recommender.prompts(cases.take(np.arange(min(64, len(cases)))), items[:64])
    parts = [writer.table.ids.ravel(), writer.answers.ids.ravel(), *(prompt.ids for prompt in prompts)]
    return {int(i) for part in parts for i in np.unique(part)} | set(recommender.llm.tokenizer.all_special_ids)


def _items(study: Study, recommender: LlmRecommender) -> pd.DataFrame:
    """item, title, prior: what is added to an item's score."""
    split, prior = study.data.split, recommender.prior
    added = np.zeros(split.n_items) if prior is None else prior[1 : split.n_items + 1].cpu().numpy()
    return pd.DataFrame({"item": split.item_keys[1:], "title": split.titles[1:], "prior": added})
