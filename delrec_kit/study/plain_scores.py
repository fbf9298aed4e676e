"""Scores of an exported model by nothing but transformers. The exported card shows the source of these functions.

told: ``scoring.json`` of the export.
"""

import torch


def prompt_of(told, history, candidates=()):
    """The prompt of a person who had the titles ``history``, oldest first; candidates: titles to choose from."""
    between = told["separator"].join
    return told["template"].format(history=between(history[-told["history"] :]), candidates=between(candidates))


def ids_of(told, tokenizer, prompt):
    """(L,) token ids of a prompt."""
    return tokenizer(prompt, add_special_tokens=told["add_special_tokens"])["input_ids"]


@torch.no_grad()
def behind_encoder(told, model, tokenizer, prompt, titles):
    """Log-likelihood of each title behind a prompt (text, or embeddings (L, d)), in nats: of an encoder-decoder."""
    read = {"input_ids": torch.tensor([ids_of(told, tokenizer, prompt)])} if isinstance(prompt, str) else None
    found = []
    for title in titles:
        answer = tokenizer(told["gap"] + title, add_special_tokens=False)["input_ids"] + [tokenizer.eos_token_id]
        logits = model(**(read or {"inputs_embeds": prompt[None]}), labels=torch.tensor([answer])).logits[0]
        found.append(logits.float().log_softmax(-1)[range(len(answer)), answer].sum().item())
    return found


@torch.no_grad()
def behind_prompt(told, model, tokenizer, prompt, titles):
    """Log-likelihood of each title behind a prompt (text, or embeddings (L, d)), in nats: of a decoder."""
    ids, words = ids_of(told, tokenizer, prompt) if isinstance(prompt, str) else None, model.get_input_embeddings()
    found = []
    for title in titles:
        answer = tokenizer(told["gap"] + title, add_special_tokens=False)["input_ids"] + [tokenizer.eos_token_id]
        if ids is None:
            read = {"inputs_embeds": torch.cat([prompt.to(model.dtype), words(torch.tensor(answer))])[None]}
        else:
            read = {"input_ids": torch.tensor([ids + answer])}
        logits = model(**read).logits[0, -len(answer) - 1 : -1]
        found.append(logits.float().log_softmax(-1)[range(len(answer)), answer].sum().item())
    return found


@torch.no_grad()
def beside_titles(told, model, tokenizer, history, vectors):
    """20 x cosine of a person's vector and each of the title vectors (n, d): of a masked encoder.

    The person's vector is the mean of the last hidden states over the tokens of the history's titles.
    """
    history = history[-told["history"] :]
    text, start, spans = prompt_of(told, history), told["template"].index("{history}"), []
    for title in history:
        spans.append((start, start + len(title)))
        start += len(title) + len(told["separator"])
    read = tokenizer(text, add_special_tokens=told["add_special_tokens"], return_offsets_mapping=True)
    states = model(input_ids=torch.tensor([read["input_ids"]])).last_hidden_state[0]
    inside = [any(max(a, s) < min(b, e) for s, e in spans) for a, b in read["offset_mapping"]]
    person = states[torch.tensor(inside)].float().mean(0)
    return (20 * torch.nn.functional.cosine_similarity(person[None], vectors.float())).tolist()


@torch.no_grad()
def read_out_beside_titles(model, embedded, read_out, vectors):
    """The same for a prompt given as embeddings (L, d), whose states at the places ``read_out`` are averaged."""
    states = model(inputs_embeds=embedded[None].to(model.dtype)).last_hidden_state[0]
    person = states[torch.tensor(read_out)].float().mean(0)
    return (20 * torch.nn.functional.cosine_similarity(person[None], vectors.float())).tolist()
