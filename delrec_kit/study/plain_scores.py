"""Scores of an exported model by nothing but transformers. The exported card shows the source of these functions.

told: ``scoring.json`` of the export.
"""

import torch


def prompt_of(told, history, candidates=()):
    """The prompt as plain text, of a person who had the titles ``history``, oldest first; candidates: the choice."""
    between = told["separator"].join
    return told["template"].format(history=between(history[-told["history"] :]), candidates=between(candidates))


def ids_of(told, tokenizer, history, candidates=()):
    """The token ids of a prompt, and which of them are of the history's titles."""
    history = history[-told["history"] :]
    if "pieces" not in told:  # the tokenizer reads the text as it was read in training
        text, start, spans = prompt_of(told, history, candidates), told["template"].index("{history}"), []
        for title in history:
            spans.append((start - len(told["title_gap"]), start + len(title)))
            start += len(title) + len(told["separator"])
        read = tokenizer(text, add_special_tokens=told["add_special_tokens"], return_offsets_mapping=True)
        inside = [any(max(a, s) < min(b, e) for s, e in spans) for a, b in read["offset_mapping"]]
        return read["input_ids"], inside
    ids, inside = [], []
    for piece in told["pieces"]:  # an id, or which titles stand there
        titles = {"history": history, "candidates": candidates}.get(piece)
        own = (
            [[piece]] if titles is None else [tokens_of(told, tokenizer, told["title_gap"] + title) for title in titles]
        )
        for place, tokens in enumerate(own):
            between = told["separator_ids"] if place else []
            ids += [*between, *tokens]
            inside += [False] * len(between) + [piece == "history"] * len(tokens)
    return ids, inside


def tokens_of(told, tokenizer, title):
    """The token ids of a title, cut where the kit cuts it."""
    return tokenizer(title, add_special_tokens=False)["input_ids"][: told["title_tokens"]]


@torch.no_grad()
def behind_encoder(told, model, tokenizer, prompt, titles):
    """Log-likelihood of each title behind a prompt (ids, or embeddings (L, d)), in nats: of an encoder-decoder."""
    embedded = isinstance(prompt, torch.Tensor)
    read = {"inputs_embeds": prompt[None].to(model.dtype)} if embedded else {"input_ids": torch.tensor([prompt])}
    found = []
    for title in titles:
        answer = [*tokens_of(told, tokenizer, told["gap"] + title), tokenizer.eos_token_id]
        logits = model(**read, labels=torch.tensor([answer])).logits[0]
        found.append(logits.float().log_softmax(-1)[range(len(answer)), answer].sum().item())
    return found


@torch.no_grad()
def behind_prompt(told, model, tokenizer, prompt, titles):
    """Log-likelihood of each title behind a prompt (ids, or embeddings (L, d)), in nats: of a decoder."""
    found, words = [], model.get_input_embeddings()
    for title in titles:
        answer = [*tokens_of(told, tokenizer, told["gap"] + title), tokenizer.eos_token_id]
        if isinstance(prompt, torch.Tensor):
            read = {"inputs_embeds": torch.cat([prompt.to(model.dtype), words(torch.tensor(answer))])[None]}
        else:
            read = {"input_ids": torch.tensor([[*prompt, *answer]])}
        logits = model(**read).logits[0, -len(answer) - 1 : -1]
        found.append(logits.float().log_softmax(-1)[range(len(answer)), answer].sum().item())
    return found


@torch.no_grad()
def beside_titles(model, prompt, inside, vectors):
    """20 x cosine of a person's vector and each of the title vectors (n, d): of a masked encoder.

    The person's vector is the mean of the last hidden states of a prompt (ids, or embeddings (L, d)), where ``inside``
    is true.
    """
    embedded = isinstance(prompt, torch.Tensor)
    read = {"inputs_embeds": prompt[None].to(model.dtype)} if embedded else {"input_ids": torch.tensor([prompt])}
    person = model(**read).last_hidden_state[0][torch.tensor(inside)].float().mean(0)
    return (20 * torch.nn.functional.cosine_similarity(person[None], vectors.float())).tolist()
