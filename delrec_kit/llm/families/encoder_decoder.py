"""Encoder-decoder language models: T5, Flan-T5 and their kin."""

from typing import Any

import torch
from transformers import DynamicCache, EncoderDecoderCache

from delrec_kit.llm.families.model import LanguageModel, Reading
from delrec_kit.llm.prompts import PromptBatch
from delrec_kit.llm.titles import PackedTitles, additive


class EncoderDecoder(LanguageModel):
    """The encoder reads a prompt once; the decoder scores its m titles packed in one sequence.

    The titles cannot see each other (block-diagonal causal mask), and T5's positions are relative, so that the packed
    scores equal those of one forward pass a title, while cross-attention keys and values are projected once a prompt.
    """

    task_type = "SEQ_2_SEQ_LM"

    def read(self, prompts: PromptBatch, soft: torch.Tensor | None, reuse: bool = False) -> Reading:
        return self._encode(prompts, soft, DynamicCache() if reuse else None)[0]

    def token_log_likelihoods(self, reading: Reading, titles: PackedTitles) -> torch.Tensor:
        hidden = self._decode(reading, titles).last_hidden_state
        if getattr(self.model.config, "scale_decoder_outputs", False):
            hidden = hidden * self.model.config.d_model**-0.5
        return self._likelihoods(hidden, titles)

    def attentions(self, prompts: PromptBatch, titles: PackedTitles, soft: torch.Tensor | None) -> dict:
        with torch.no_grad(), self._eager():
            reading, encoded = self._encode(prompts, soft, output_attentions=True)
            decoded = self._decode(reading, titles, output_attentions=True)
        return self._checked({"encoder": encoded.attentions, "cross": decoded.cross_attentions})

    def _encode(self, prompts: PromptBatch, soft: torch.Tensor | None, cache: Any = None, **kwargs):
        embedded = self.embed(prompts, soft)
        encoded = self.model.get_encoder()(inputs_embeds=embedded, attention_mask=prompts.mask, **kwargs)
        return Reading(prompts, encoded.last_hidden_state, cache), encoded

    def _decode(self, reading: Reading, titles: PackedTitles, **kwargs):
        """The cache of a reading holds the cross-attention's keys and values, made by the first call."""
        cache = None if reading.cache is None else EncoderDecoderCache(DynamicCache(), reading.cache)
        return self.model.get_decoder()(
            input_ids=titles.inputs,
            attention_mask=additive(titles.own(), reading.states.dtype),
            encoder_hidden_states=reading.states,
            encoder_attention_mask=reading.prompts.mask,
            past_key_values=cache,
            use_cache=cache is not None,
            **kwargs,
        )
