"""The model card of an export: how to score with it, how exact that is, data, results, settings, licence."""

import inspect
import json
from collections.abc import Callable
from pathlib import Path

from delrec_kit.evaluation import comparison_table, load_comparison
from delrec_kit.llm import LlmRecommender
from delrec_kit.run.inputs import looks_like_path
from delrec_kit.settings.config import LlmConfig
from delrec_kit.settings.style import label
from delrec_kit.study import plain_scores
from delrec_kit.study.study import Study

LICENCES = {"tiny": "mit", "minilm": "apache-2.0", "gemma": "gemma"}
KINDS = {
    "SEQ_2_SEQ_LM": ("AutoModelForSeq2SeqLM", plain_scores.behind_encoder),
    "CAUSAL_LM": ("AutoModelForCausalLM", plain_scores.behind_prompt),
    "FEATURE_EXTRACTION": ("AutoModel", plain_scores.beside_titles),
}
OPEN = """\
import json

import pandas as pd
import torch
from transformers import {loader}, AutoTokenizer

folder = "."  # where this file lies
tokenizer = AutoTokenizer.from_pretrained(folder)
model = {loader}.from_pretrained(folder).eval()
told = json.load(open(f"{{folder}}/scoring.json"))
items = pd.read_csv(f"{{folder}}/items.csv", dtype={{"item": str}}, keep_default_na=False)
prior = items.drop_duplicates("title").set_index("title")["prior"]
"""
BY_TEXT = """\
example = json.loads(open(f"{folder}/examples.jsonl").readline())
titles = example["candidates"]
prompt, _ = ids_of(told, tokenizer, example["history"], titles if told["lists_candidates"] else [])
raw = NAME(told, model, tokenizer, prompt, titles)
scores = [told["scale"] * r + prior[title] for r, title in zip(raw, titles)]  # the kit's; higher is better
"""
BY_VECTORS = """\
from safetensors.torch import load_file

vectors = load_file(f"{folder}/titles.safetensors")["vectors"]  # a row an item, as in items.csv
example = json.loads(open(f"{folder}/examples.jsonl").readline())
raw = beside_titles(model, *ids_of(told, tokenizer, example["history"]), vectors)
whole = [told["scale"] * r + p for r, p in zip(raw, items["prior"])]  # of every item; higher is better
titles = example["candidates"]
scores = [whole[items["title"].tolist().index(title)] for title in titles]
"""
BY_EMBEDDINGS = """\
from safetensors.torch import load_file

embeddings = load_file(f"{folder}/prompt_embeds.safetensors")  # user -> (L, d)
example = json.loads(open(f"{folder}/users.jsonl").readline())
prompt, titles = embeddings[example["user"]], example["titles"]
raw = CALL
scores = [told["scale"] * r + prior[title] for r, title in zip(raw, titles)]  # the kit's; higher is better
"""
ENCODED = """beside_titles(model, prompt, example["inside"], vectors)"""
OF_ITEMS = """\
rows = [items["item"].tolist().index(item) for item in example["items"]]
vectors = load_file(f"{folder}/titles.safetensors")["vectors"][rows]
"""
VLLM = """\
from vllm import LLM, SamplingParams

llm = LLM(folder)
asked = [{"prompt_token_ids": prompt + tokens_of(told, tokenizer, told["gap"] + title)} for title in titles]
said = llm.generate(asked, SamplingParams(max_tokens=1, prompt_logprobs=0))
# output.prompt_logprobs holds the log-likelihood of each token of the prompt: add up those of the title's tokens.
# The kit's score also counts the end-of-sequence token behind the title.
"""
VLLM_EMBEDDINGS = """\
from vllm import LLM, SamplingParams

llm = LLM(folder, enable_prompt_embeds=True)  # vllm serve FOLDER --enable-prompt-embeds
said = llm.generate({"prompt_embeds": prompt.to(torch.bfloat16)}, SamplingParams(max_tokens=32))
"""


def card(study: Study, recommender: LlmRecommender, dtype: str, checked: str, tuning: bool = False) -> str:
    """README.md of an export. checked: how exact it was found to be; tuning: whether peft can hold P, too."""
    config, data = study.run.config, study.run.config.data.dataset
    llm, conditioned = recommender.llm, recommender.P is not None and bool(recommender.P.c)
    named = Path(config.llm.name).name if looks_like_path(config.llm.name) else config.llm.name
    shown = config.model_dump(mode="json", exclude={"data": {"data_dir"}})  # where files lie is nobody's business
    shown["llm"]["name"] = named
    people = f"{len(study.data.split.user_keys)} users, {study.data.split.n_items} items, of {data}"
    parts = [
        _front(config.llm),
        f"# {label(recommender.name)} on {data}\n\nMade by delrec_kit, which implements DELRec (arXiv 2406.11156): the "
        f"language model {named} ranks titles for people. {_p(recommender, conditioned)}",
        f"## Scores by transformers\n\n{_what(recommender, conditioned)}\n\n{_code(recommender, conditioned)}",
        *([f"## vLLM\n\n{_vllm(conditioned)}"] if llm.task_type == "CAUSAL_LM" else []),
        f"## How exact this is\n\n{checked[0].upper()}{checked[1:]}. Weights are in {dtype}. {_quantised(config.llm)}",
        f"## Data and results\n\n{people}; the data's own terms hold for what was learned from them. Histories of a "
        f"few of these users stand in the files that end in .jsonl.\n\n{_results(study, recommender.name)}",
        f"## Settings\n\n```json\n{json.dumps(shown, indent=1)}\n```",
        f"## Other programs\n\n{_others(recommender, conditioned, tuning)}",
        f"## Licence\n\nThat of {named}, whose weights these are. The kit's own part is under the MIT licence.",
    ]
    return "\n\n".join(parts) + "\n"


def _front(llm: LlmConfig) -> str:
    lines = ["library_name: transformers", f"license: {LICENCES.get(llm.name, 'other')}"]
    if "/" in llm.repository and not llm.repository.startswith((".", "/", "~")):
        lines.append(f"base_model: {llm.repository}")
    return "---\n" + "\n".join([*lines, "tags: [recommender-systems, sequential-recommendation, delrec]"]) + "\n---"


def _p(recommender: LlmRecommender, conditioned: bool) -> str:
    if recommender.P is None:
        return "Its prompt has no soft prompt."
    if conditioned:
        return "Its soft prompt P is another for each user, so that prompts are embeddings and not text."
    k = recommender.k
    return f"Its soft prompt P is the words `<P0>` … `<P{k - 1}>` of tokenizer and embedding: prompts are plain text."


def _what(recommender: LlmRecommender, conditioned: bool) -> str:
    if recommender.llm.ranks_all:
        raw = "20 times the cosine of the person's vector and the title's (titles.safetensors)"
        if conditioned:
            raw += "; the person's is the mean of the last hidden states where `inside` of users.jsonl is true"
    else:
        raw = "the log-likelihood of the whole title behind the prompt, its end-of-sequence token included, in nats"
    return f"A score is `scale` times {raw}, plus the item's `prior` in items.csv."


def _code(recommender: LlmRecommender, conditioned: bool) -> str:
    loader, by = KINDS[recommender.llm.task_type]
    functions: list[Callable] = [plain_scores.prompt_of, plain_scores.ids_of, plain_scores.tokens_of, by]
    if not conditioned:
        used = BY_VECTORS if recommender.llm.ranks_all else BY_TEXT.replace("NAME", by.__name__)
    else:
        functions = [by] if recommender.llm.ranks_all else functions[2:]
        call = f"{by.__name__}(told, model, tokenizer, prompt, titles)"
        own = recommender.llm.ranks_all
        used = BY_EMBEDDINGS.replace("raw = CALL\n", f"{OF_ITEMS}raw = {ENCODED}\n" if own else f"raw = {call}\n")
    sources = "\n\n".join(inspect.getsource(function) for function in functions)
    return f"```python\n{OPEN.format(loader=loader)}\n\n{sources}\n\n{used}```"


def _vllm(conditioned: bool) -> str:
    if conditioned:
        text = "vLLM takes prompts as embeddings where it is started with `--enable-prompt-embeds`; it then generates."
        return f"{text} Not run here.\n\n```python\n{VLLM_EMBEDDINGS}```"
    return f"With `folder`, `told`, `prompt` and `titles` as above; not run here.\n\n```python\n{VLLM}```"


def _quantised(llm: LlmConfig) -> str:
    if llm.quantization not in ("nf4", "fp4", "int8"):
        return ""
    return (
        f"The kit's own scores are of the model in {llm.quantization}. These are the same weights dequantised, with "
        "the adapter added; the difference above is between the two, measured when this was written."
    )


def _results(study: Study, name: str) -> str:
    if not study.run.is_done("evaluation"):
        return "The run was not evaluated."
    comparison = load_comparison(study.run.folder("evaluation"))
    table = comparison_table(comparison)[["HR@1", "HR@5", "NDCG@5"]]
    rows = [row for row in (name, "teacher", "markov", "popularity") if row in table.index]
    about = f"{comparison['users']} users, the answer among {comparison['m']}; in brackets 95 % intervals."
    return f"{about}\n\n{table.loc[rows].to_markdown()}"


def _others(recommender: LlmRecommender, conditioned: bool, tuning: bool) -> str:
    lines = []
    if recommender.llm.task_type == "CAUSAL_LM":
        lines.append("GGUF: `python convert_hf_to_gguf.py FOLDER` of llama.cpp, where it knows the architecture.")
    elif recommender.llm.task_type == "SEQ_2_SEQ_LM":
        lines.append("GGUF: `python convert_hf_to_gguf.py FOLDER` of llama.cpp; when this was written vLLM had no T5.")
    else:
        lines.append("GGUF: `python convert_hf_to_gguf.py FOLDER` of llama.cpp, which gives sentence vectors alone.")
    if recommender.P is not None and not recommender.llm.ranks_all:
        lines.append(
            "An output head that was tied to the embedding is untied, unless this was exported with `--tied`: so P "
            "changes no likelihood of a real word. vLLM has insisted on tied heads for Gemma; `--tied` is for that."
        )
    if tuning:
        lines.append("peft: `prompt_tuning/` holds P for prompts that leave out its words, which stand in front.")
    elif recommender.P is not None:
        lines.append(
            "No peft prompt-tuning folder: "
            + (
                "P is another for each user."
                if conditioned
                else "peft only puts P before the prompt, and here it stands within."
            )
        )
    return "\n".join(f"- {line}" for line in lines)
