"""P as words of a plain checkpoint: the likelihoods of real words stay as they were, whatever the architecture."""

import families
import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, decoders, normalizers, pre_tokenizers, processors, trainers
from tokenizers.models import BPE, Unigram
from transformers import (
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForSeq2SeqLM,
    AutoTokenizer,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
    T5Config,
    T5ForConditionalGeneration,
)

from delrec_kit.data import Domain
from delrec_kit.llm import LlmRecommender, PromptWriter, SoftPrompt, load_llm
from delrec_kit.llm.plain import save_plain, soft_words
from delrec_kit.llm.plain_text import bound, pieces, plain_text
from delrec_kit.settings.config import LlmConfig
from delrec_kit.settings.errors import KitError
from delrec_kit.study import plain_scores

K = 3


def sentence_pieces(folder):
    """A T5 whose tokenizer marks where a word begins, as SentencePiece does, with all its vocabulary in use."""
    core = Tokenizer(Unigram())
    core.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace()])
    special = ["<pad>", "</s>", "<unk>"]
    core.train_from_iterator(
        [*families.TEXT, "a rare zebra"],
        trainers.UnigramTrainer(vocab_size=200, special_tokens=special, unk_token="<unk>"),
    )
    core.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    names = dict(zip(("pad_token", "eos_token", "unk_token"), special))
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=core, **names)
    torch.manual_seed(0)
    sizes = {"d_model": 64, "d_kv": 16, "d_ff": 96, "num_layers": 2, "num_heads": 4, "vocab_size": len(tokenizer)}
    T5ForConditionalGeneration(T5Config(**sizes, decoder_start_token_id=0)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def joining(folder):
    """A decoder whose tokenizer joins signs across words, as Gemma's does: ");" is one of its words."""
    core = Tokenizer(BPE())
    core.normalizer = normalizers.Replace(" ", "▁")
    core.decoder = decoders.Replace("▁", " ")
    texts = [text + f" ({year}); x" for year in range(1950, 1990) for text in families.TEXT[:40]]
    core.train_from_iterator(texts, trainers.BpeTrainer(vocab_size=500, special_tokens=["<eos>"]))
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=core, eos_token="<eos>", pad_token="<eos>")
    torch.manual_seed(0)
    LlamaForCausalLM(LlamaConfig(**families.GROUPED, vocab_size=len(tokenizer) + K)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    made = {}

    def of(name):
        if name not in made:
            folder = tmp_path_factory.mktemp(name)
            made[name] = sentence_pieces(folder) if name == "t5" else families.make_model(folder, name)
        return made[name]

    return of


def opened(folder):
    """A recommender with a P of random vectors, its prompts of three people, and their titles."""
    llm = load_llm(LlmConfig(name=str(folder), quantization="fp32"), "cpu")
    writer = PromptWriter(llm.tokenizer, Domain(), families.TITLES, format=llm.format)
    P = SoftPrompt(torch.randn(K, llm.d, generator=torch.Generator().manual_seed(1)))
    recommender = LlmRecommender(llm, writer, P, history=2)
    people = [([1, 2, 4], [5, 6, 7]), ([3], [8, 9, 2]), ([10, 11, 12], [1, 13, 14])]
    prompts = [recommender.ask(history, items) for history, items in people]
    shown = [
        ([families.TITLES[i] for i in h[-2:]], [families.TITLES[i] for i in recommender.listed(c)]) for h, c in people
    ]
    used = {int(i) for prompt in prompts for i in prompt.ids} | set(writer.table.ids.ravel()) | {0}
    used |= set(writer.answers.ids.ravel()) | set(llm.tokenizer.all_special_ids)
    return recommender, prompts, shown, used


def logits(model, ids):
    ids = torch.tensor([ids])
    if model.config.is_encoder_decoder:
        return model(input_ids=ids, decoder_input_ids=torch.tensor([[0, 5, 6, 7]])).logits
    output = model(input_ids=ids)
    return output.logits if hasattr(output, "logits") else output.last_hidden_state


LOADER = {"SEQ_2_SEQ_LM": AutoModelForSeq2SeqLM, "CAUSAL_LM": AutoModelForCausalLM, "FEATURE_EXTRACTION": AutoModel}


@pytest.mark.parametrize("name", ["gemma3_text", "qwen3", "llama", "gpt2", "t5", "bert", "modernbert"])
@torch.no_grad()
def test_text_with_p_reads_as_the_kit_reads_it_and_nothing_else_changes(folders, tmp_path, name):
    recommender, prompts, shown, used = opened(folders(name))
    llm, P = recommender.llm, recommender.P.vectors.detach()
    before = [logits(llm.model, [t for t in prompt.ids if t >= 0]) for prompt in prompts]
    embedded = [llm.embed(recommender.writer.batch([prompt]), P)[0] for prompt in prompts]
    tokenizer = save_plain(llm.model, llm.tokenizer, P, used, tmp_path / "out")
    way, alike = plain_text(recommender, Domain(), tokenizer, prompts, shown)
    assert alike == len(prompts), way
    model = LOADER[llm.task_type].from_pretrained(tmp_path / "out").eval()
    assert model.config.vocab_size == llm.model.config.vocab_size
    for prompt, wanted, vectors, titles in zip(prompts, before, embedded, shown):
        found = logits(model, [t for t in prompt.ids if t >= 0])
        np.testing.assert_allclose(found, wanted, atol=1e-4, err_msg="a softmax over other words, or other words")
        text = way.write(*titles)
        ids = tokenizer(text, add_special_tokens=way.add_special_tokens)["input_ids"]
        assert "".join(soft_words(K)) in text.replace(" ", "")
        read = model.get_input_embeddings()(torch.tensor(ids))
        np.testing.assert_allclose(read, vectors, rtol=1e-4, atol=1e-5)
    rows = AutoTokenizer.from_pretrained(folders(name))(families.TITLES[1:], add_special_tokens=False)["input_ids"]
    assert tokenizer(families.TITLES[1:], add_special_tokens=False)["input_ids"] == rows


@pytest.mark.parametrize("name", ["qwen3", "gemma3_text"])
@torch.no_grad()
def test_p_takes_rows_that_no_word_uses_where_there_are_some(folders, tmp_path, name):
    plain = AutoModelForCausalLM.from_pretrained(folders(name))
    words = AutoTokenizer.from_pretrained(folders(name))
    first = max(words.get_vocab().values()) + 1
    plain.resize_token_embeddings(first + K)
    plain.save_pretrained(tmp_path / "padded")
    words.save_pretrained(tmp_path / "padded")
    recommender, prompts, _, used = opened(tmp_path / "padded")
    before = logits(recommender.llm.model, [t for t in prompts[0].ids if t >= 0])
    tokenizer = save_plain(recommender.llm.model, words, recommender.P.vectors.detach() * 5, used, tmp_path / "out")
    assert tokenizer.convert_tokens_to_ids(soft_words(K)) == [first, first + 1, first + 2]
    assert set(words.get_vocab()) < set(tokenizer.get_vocab()), "no word was taken"
    after = logits(AutoModelForCausalLM.from_pretrained(tmp_path / "out").eval(), [t for t in prompts[0].ids if t >= 0])
    np.testing.assert_allclose(after, before, atol=1e-4, err_msg="P is in the head too, where it was tied")


def test_a_vocabulary_that_is_all_in_use_is_refused(folders, tmp_path):
    recommender, *_ = opened(folders("llama"))
    with pytest.raises(KitError, match=r"only 0 words that nothing uses, and P needs 3; lower distill\.k"):
        save_plain(
            recommender.llm.model, recommender.llm.tokenizer, recommender.P.vectors, range(10**4), tmp_path / "o"
        )


def test_without_p_it_is_the_model_and_its_tokenizer(folders, tmp_path):
    recommender, prompts, _, used = opened(folders("llama"))
    with torch.no_grad():
        before = logits(recommender.llm.model, prompts[0].ids.clip(0).tolist())
        save_plain(recommender.llm.model, recommender.llm.tokenizer, None, used, tmp_path / "out")
        model = AutoModelForCausalLM.from_pretrained(tmp_path / "out").eval()
        np.testing.assert_allclose(logits(model, prompts[0].ids.clip(0).tolist()), before, atol=1e-6)


@torch.no_grad()
def test_a_tokenizer_that_joins_signs_is_told_where_titles_end(tmp_path, monkeypatch):
    titles = ["", *(f"{title} ({1950 + i})" for i, title in enumerate(families.TITLES[1:]))]
    monkeypatch.setattr(families, "TITLES", titles)
    recommender, prompts, shown, used = opened(joining(tmp_path / "model"))
    model, P = recommender.llm.model, recommender.P.vectors.detach()
    tokenizer = save_plain(model, recommender.llm.tokenizer, P, used, tmp_path / "out")
    assert plain_text(recommender, Domain(), tokenizer, prompts, shown)[1] == 0, "joined across the end of a title"
    bound(recommender, Domain(), tmp_path / "out")
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "out")
    way, alike = plain_text(recommender, Domain(), tokenizer, prompts, shown)
    assert alike == len(prompts)
    told = way.told() | pieces(recommender, tokenizer) | {"history": 2, "title_tokens": 48, "title_gap": " "}
    for (history, candidates), text in zip(shown, [way.write(*titles) for titles in shown]):
        ids, inside = plain_scores.ids_of(told, tokenizer, history, candidates)
        assert ids == tokenizer(text)["input_ids"], "the same by its pieces"
        whole = {name: value for name, value in told.items() if name != "pieces"}
        assert plain_scores.ids_of(whole, tokenizer, history, candidates) == (ids, inside), "and the same are history"
        assert tokenizer.decode([i for i, own in zip(ids, inside) if own]).split() == " ".join(history).split()


@torch.no_grad()
def test_a_head_that_stays_tied_holds_p(folders, tmp_path):
    recommender, prompts, _, used = opened(folders("qwen3"))
    before = logits(recommender.llm.model, [t for t in prompts[0].ids if t >= 0])
    save_plain(
        recommender.llm.model, recommender.llm.tokenizer, recommender.P.vectors.detach(), used, tmp_path / "o", True
    )
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "o").eval()
    assert model.lm_head.weight is model.get_input_embeddings().weight and model.config.tie_word_embeddings
    changed = (logits(model, [t for t in prompts[0].ids if t >= 0]) - before).abs().amax(dim=(0, 1)) > 1e-3
    assert changed.sum() == K, "the logits of the words whose rows P took, and no other"
