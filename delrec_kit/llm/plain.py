"""P as words of its own in a plain checkpoint: tokens ``<P0>`` … that any program reads like other words.

The softmax over the vocabulary must not get k more words, or every likelihood would change. So the vocabulary keeps
its size. P goes into rows that the embedding has and no word uses: most checkpoints are padded. Where there are too
few, it takes the rows of words that nothing in the data uses, which are then spelt from their parts. The output head
keeps the rows that it had, and is untied for that where it was tied. A masked encoder has no head; its embedding grows.
"""

import json
from collections.abc import Collection
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import AutoTokenizer

from delrec_kit.settings.errors import KitError


def soft_words(k: int) -> list[str]:
    """What the k soft tokens are called."""
    return [f"<P{j}>" for j in range(k)]


def save_plain(
    model: Any, tokenizer: Any, P: torch.Tensor | None, used: Collection[int], folder: Path, tied: bool = False
) -> Any:
    """Write ``model`` and its tokenizer to ``folder`` as transformers reads them, with P (k, d) as k more tokens.

    used: the ids that prompts and titles are made of; tied: leave a tied head tied, so that P gets probability in the
    place of the words whose rows it took. Returns the tokenizer as it is read back. Raises KitError where
    the vocabulary has no k words to spare.
    """
    k = 0 if P is None else len(P)
    tokenizer.save_pretrained(folder)
    if k:
        rows, head = len(model.get_input_embeddings().weight), model.get_output_embeddings()
        first = max(tokenizer.get_vocab().values()) + 1
        if head is None and first + k > rows:
            model.resize_token_embeddings(first + k)
            rows = first + k
        ids = list(range(first, first + k)) if first + k <= rows else _spared(folder, set(used), k)
        _name(folder, dict(zip(soft_words(k), ids, strict=True)))
        _put(model, P, ids, tied)
    model.save_pretrained(folder)
    return AutoTokenizer.from_pretrained(folder, trust_remote_code=False)


@torch.no_grad()
def _put(model: Any, P: torch.Tensor, ids: list[int], tied: bool) -> None:
    """P into rows ``ids`` of the embedding, divided by what the layer multiplies them with (Gemma: sqrt(d))."""
    embedding, head = model.get_input_embeddings(), model.get_output_embeddings()
    if head is not None and head.weight is embedding.weight and not tied:
        untied = nn.Linear(head.in_features, head.out_features, bias=head.bias is not None).to(head.weight)
        untied.weight.copy_(head.weight)
        if head.bias is not None:
            untied.bias.copy_(head.bias)
        model.set_output_embeddings(untied)
        model.config.tie_word_embeddings = False
        model.all_tied_weights_keys = {
            name: source for name, source in model.all_tied_weights_keys.items() if "lm_head" not in name
        }
    some = torch.arange(min(64, len(embedding.weight)), device=embedding.weight.device)
    stored, read = embedding.weight[some].double(), embedding(some).double()
    scale = float((stored * read).sum() / (stored * stored).sum())
    if not torch.allclose(stored * scale, read, rtol=1e-2, atol=1e-6):
        raise KitError("the embedding layer does more than scale its rows, so that P cannot be stored among them")
    embedding.weight[torch.tensor(ids, device=some.device)] = (P / scale).to(embedding.weight)


def _spared(folder: Path, used: set[int], k: int) -> list[int]:
    """Take k words that nothing uses and no other word is made of, the rarest first, out of the vocabulary in
    ``tokenizer.json``; returns their ids."""
    file = folder / "tokenizer.json"
    content = json.loads(file.read_text(encoding="utf-8"))
    model, kept = content["model"], {token["id"] for token in content["added_tokens"]}
    merges = [tuple(m) if isinstance(m, list) else tuple(m.split(" ")) for m in model.get("merges", [])]
    parts = {part for merge in merges for part in merge}
    unigram = isinstance(model["vocab"], list)
    words = [w for w, _ in model["vocab"]] if unigram else list(model["vocab"])
    id_of = dict(zip(words, range(len(words)))) if unigram else model["vocab"]
    free = [w for w in words if id_of[w] not in used | kept and w not in parts and len(w) > 1]
    free = sorted(free, key=lambda w: id_of[w])[-k:]
    if len(free) < k:
        raise KitError(f"the vocabulary has only {len(free)} words that nothing uses, and P needs {k}; lower distill.k")
    ids, gone = [id_of[w] for w in free], set(free)
    for j, w in enumerate(free):
        if unigram:
            model["vocab"][id_of[w]] = [f"<P{j}>", min(score for _, score in model["vocab"]) - 10]
        else:
            del model["vocab"][w]
            model["vocab"][f"<P{j}>"] = ids[j]
    if merges:
        kept_merges = [m for m, pair in zip(model["merges"], merges, strict=True) if "".join(pair) not in gone]
        model["merges"] = kept_merges
    file.write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")
    return ids


def _name(folder: Path, words: dict[str, int]) -> None:
    """Tell the tokenizer in ``folder`` of words that stand for themselves, with their ids."""
    file = folder / "tokenizer.json"
    content = json.loads(file.read_text(encoding="utf-8"))
    plain = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    content["added_tokens"] += [{"id": number, "content": word, **plain} for word, number in words.items()]
    content["added_tokens"].sort(key=lambda token: token["id"])
    file.write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")
