"""Encoder-decoder language models: T5, Flan-T5 and their kin."""

from contextlib import contextmanager

import torch
from torch.nn import functional as F

from delrec_kit.errors import KitError
from delrec_kit.llm.model import LanguageModel
from delrec_kit.llm.prompts import PromptBatch
from delrec_kit.llm.titles import PackedTitles


class EncoderDecoder(LanguageModel):
    """The encoder reads a prompt once; the decoder scores its m titles packed in one sequence.

    The titles cannot see each other (block-diagonal causal mask), and T5's positions are relative, so that the packed
    scores equal those of one forward pass a title, while cross-attention keys and values are projected once a prompt.
    """

    @property
    def start(self) -> int:
        return int(self.model.config.decoder_start_token_id)

    @property
    def adapter_targets(self) -> list[str]:
        return ["q", "v"]

    def token_log_likelihoods(self, prompts: PromptBatch, titles: PackedTitles, soft: torch.Tensor | None):
        hidden = self._decode(prompts, titles, soft).last_hidden_state
        if getattr(self.model.config, "scale_decoder_outputs", False):
            hidden = hidden * self.model.config.d_model**-0.5
        place = titles.labels >= 0
        head = self.model.get_output_embeddings()
        logits = head(hidden[place].to(head.weight.dtype)).float()
        values = -F.cross_entropy(logits, titles.labels[place], reduction="none")
        return torch.zeros(place.shape, device=values.device).masked_scatter(place, values)

    def attentions(self, prompts: PromptBatch, titles: PackedTitles, soft: torch.Tensor | None) -> dict:
        """ "encoder": (layers, B, heads, L, L); "cross": (layers, B, heads, S, L), from title tokens to the prompt."""
        with torch.no_grad(), self._eager():
            encoded, decoded = self._run(prompts, titles, soft, output_attentions=True)
            kinds = {"encoder": encoded.attentions, "cross": decoded.cross_attentions}
        if not all(kinds.values()):
            raise KitError(f"{self.identity['llm']} returned no attention weights; load it with eager attention")
        return {kind: torch.stack([w.float() for w in weights]) for kind, weights in kinds.items()}

    def _decode(self, prompts: PromptBatch, titles: PackedTitles, soft: torch.Tensor | None):
        return self._run(prompts, titles, soft)[1]

    def _run(self, prompts: PromptBatch, titles: PackedTitles, soft: torch.Tensor | None, **kwargs):
        embedded = self.embed(prompts, soft)
        encoded = self.model.get_encoder()(inputs_embeds=embedded, attention_mask=prompts.mask, **kwargs)
        decoded = self.model.get_decoder()(
            input_ids=titles.inputs,
            attention_mask=titles.attention_mask(embedded.dtype),
            encoder_hidden_states=encoded.last_hidden_state,
            encoder_attention_mask=prompts.mask,
            use_cache=False,
            **kwargs,
        )
        return encoded, decoded

    @contextmanager
    def _eager(self):
        """T5's default attention returns no weights; switch to the one that does for as long as needed."""
        before = self.model.config._attn_implementation
        self.model.set_attn_implementation("eager")
        try:
            yield
        finally:
            self.model.set_attn_implementation(before)
