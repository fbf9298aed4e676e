"""A tiny random T5 with a real tokenizer, made on the spot: what the tests of the LLM rooms run on."""

import os
import subprocess
import sys
from pathlib import Path

import families
import matplotlib.pyplot as plt
import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast, T5Config, T5ForConditionalGeneration

import delrec_kit
from delrec_kit.data import Domain
from delrec_kit.llm import PromptWriter, load_llm
from delrec_kit.settings.config import LlmConfig

TITLES = ["", "Red Moon", "Blue Moon Rising", "Red Moon", "Silent Harbour", "The Last Harbour Song", "Rising"]
TITLES += [f"Film {number}" for number in range(1, 13)]


LAUNCH = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]


@pytest.fixture(scope="session")
def launch():
    """Starts ``what`` in one process or in two, on the CPU, and gives what the main one printed; fails where it fails.
    (``accelerate launch --cpu --num_processes 2`` starts one.)"""

    def start(processes: int, *what: str, cwd: Path | None = None, **more: str) -> str:
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true", **more}
        environment["PYTHONPATH"] = str(Path(delrec_kit.__file__).parents[1])
        command = [*(LAUNCH if processes == 2 else [sys.executable]), *what]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=280, cwd=cwd)
        assert done.returncode == 0, done.stderr[-6000:]
        return done.stdout

    return start


@pytest.fixture(autouse=True)
def no_figure_stays_open():
    yield
    plt.close("all")


@pytest.fixture(scope="session")
def toy_llm_folder(tmp_path_factory) -> Path:
    """A T5 of two layers and width 64 whose weights follow from seed 0."""
    folder = tmp_path_factory.mktemp("toy-t5")
    words = {w for title in TITLES for w in title.split()}
    letters = [chr(c) for c in range(33, 127)]
    vocabulary = ["<pad>", "</s>", "<unk>", *letters, *("##" + c for c in letters), *sorted(words - set(letters))]
    core = Tokenizer(models.WordPiece({w: i for i, w in enumerate(vocabulary)}, unk_token="<unk>"))
    core.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    core.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=core, pad_token="<pad>", eos_token="</s>", unk_token="<unk>", model_max_length=100_000
    )
    tokenizer.save_pretrained(folder)
    torch.manual_seed(0)
    config = T5Config(
        vocab_size=len(vocabulary),
        d_model=64,
        d_kv=16,
        d_ff=128,
        num_layers=2,
        num_heads=4,
        pad_token_id=0,
        eos_token_id=1,
        decoder_start_token_id=0,
        tie_word_embeddings=False,
    )
    T5ForConditionalGeneration(config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def folders(tmp_path_factory):
    """The folder of a family's tiny model by its name, each made once."""
    made = {}

    def folder(name):
        if name not in made:
            made[name] = families.make_model(tmp_path_factory.mktemp(name), name)
        return made[name]

    return folder


@pytest.fixture(params=["fp32", "nf4"])
def llm(request, toy_llm_folder):
    """The toy T5, unquantised and in 4-bit."""
    return load_llm(LlmConfig(name=str(toy_llm_folder), quantization=request.param), "cpu")


@pytest.fixture
def plain_llm(toy_llm_folder):
    return load_llm(LlmConfig(name=str(toy_llm_folder), quantization="fp32"), "cpu")


@pytest.fixture
def writer(plain_llm):
    return PromptWriter(plain_llm.tokenizer, Domain(), TITLES)
