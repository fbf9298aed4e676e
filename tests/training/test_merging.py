"""What peft's prompt tuning makes of P in front of a prompt is what the kit makes of it."""

import numpy as np
import torch
from peft import PeftModel
from transformers import AutoModelForSeq2SeqLM

from delrec_kit.training.merging import save_prompt_tuning


@torch.no_grad()
def test_peft_reads_p_in_front_of_a_prompt(plain_llm, toy_llm_folder, tmp_path):
    P = torch.randn(3, plain_llm.d, generator=torch.Generator().manual_seed(0))
    save_prompt_tuning(plain_llm, P, tmp_path / "prompt_tuning")
    model = AutoModelForSeq2SeqLM.from_pretrained(toy_llm_folder).eval()
    ids, answer = torch.tensor([plain_llm.tokenizer("Red Moon")["input_ids"]]), torch.tensor([[5, 9, 1]])
    wanted = model(inputs_embeds=torch.cat([P[None], model.get_input_embeddings()(ids)], dim=1), labels=answer).logits
    bare = model(input_ids=ids, labels=answer).logits
    tuned = PeftModel.from_pretrained(model, tmp_path / "prompt_tuning").eval()
    found = tuned(input_ids=ids, attention_mask=torch.ones_like(ids), labels=answer).logits
    np.testing.assert_allclose(found, wanted, atol=1e-4)
    assert np.abs(wanted - bare).max() > 1e-2
