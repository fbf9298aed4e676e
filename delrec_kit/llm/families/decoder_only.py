"""Decoder-only language models: GPT-2, Llama, Qwen, SmolLM and whatever else continues a text."""

import torch
from transformers import DynamicCache

from delrec_kit.llm.families.model import LanguageModel, Reading
from delrec_kit.llm.prompts import PromptBatch
from delrec_kit.llm.titles import PackedTitles, additive


class DecoderOnly(LanguageModel):
    """Prompt and titles are one sequence: the titles see the prompt, and none of them another.

    Each title stands at the positions that follow the prompt and begins with the prompt's last token, which is what
    predicts its first one. So the packed scores equal those of one forward pass a title, and the prompt is read once.
    """

    task_type = "CAUSAL_LM"

    def read(self, prompts: PromptBatch, soft: torch.Tensor | None, reuse: bool = False) -> Reading:
        embedded = self.embed(prompts, soft)
        cache = None
        if reuse:
            cache = DynamicCache()
            L = prompts.ids.shape[1]
            self._body(
                inputs_embeds=embedded,
                attention_mask=additive(self._prompt_sees(prompts), embedded.dtype),
                position_ids=torch.arange(L, device=embedded.device).expand(len(embedded), L),
                past_key_values=cache,
                use_cache=True,
            )
        return Reading(prompts, embedded, cache)

    def token_log_likelihoods(self, reading: Reading, titles: PackedTitles) -> torch.Tensor:
        if reading.cache is None:
            hidden = self._joint(reading, titles).last_hidden_state[:, reading.states.shape[1] :]
        else:
            hidden = self._behind_cache(reading, titles)
        return self._likelihoods(hidden, titles)

    def attentions(self, prompts: PromptBatch, titles: PackedTitles, soft: torch.Tensor | None) -> dict:
        L = prompts.ids.shape[1]
        with torch.no_grad(), self._eager():
            weights = self._joint(self.read(prompts, soft), titles, output_attentions=True).attentions
        return self._checked({"encoder": [w[..., :L, :L] for w in weights], "cross": [w[..., L:, :L] for w in weights]})

    @property
    def _body(self):
        return getattr(self.model, self.model.base_model_prefix)

    def _joint(self, reading: Reading, titles: PackedTitles, **kwargs):
        """One pass over (B, L + S); what training needs, since no cache stands between gradients and recomputation."""
        embedded = reading.states
        B, L, _ = embedded.shape
        S = titles.inputs.shape[1]
        above = torch.cat([self._prompt_sees(reading.prompts), titles.own().new_zeros(B, L, S)], dim=2)
        below = torch.cat([self._titles_see(reading.prompts, S), titles.own()], dim=2)
        prompt_places = torch.arange(L, device=embedded.device).expand(B, L)
        return self._body(
            inputs_embeds=torch.cat([embedded, self.embeddings(titles.inputs).to(embedded.dtype)], dim=1),
            attention_mask=additive(torch.cat([above, below], dim=1), embedded.dtype),
            position_ids=torch.cat([prompt_places, self._places(reading.prompts, titles)], dim=1),
            use_cache=False,
            **kwargs,
        )

    def _behind_cache(self, reading: Reading, titles: PackedTitles) -> torch.Tensor:
        """(B, S, d) with the prompt's keys and values from the cache, which is left as it was found."""
        seen = torch.cat([self._titles_see(reading.prompts, titles.inputs.shape[1]), titles.own()], dim=2)
        hidden = self._body(
            inputs_embeds=self.embeddings(titles.inputs).to(reading.states.dtype),
            attention_mask=additive(seen, reading.states.dtype),
            position_ids=self._places(reading.prompts, titles),
            past_key_values=reading.cache,
            use_cache=True,
        ).last_hidden_state
        reading.cache.crop(-titles.inputs.shape[1])
        return hidden

    @staticmethod
    def _prompt_sees(prompts: PromptBatch) -> torch.Tensor:
        """(B, L, L): each prompt token sees itself and what stands before it; padding too, to stay finite."""
        L = prompts.ids.shape[1]
        return torch.ones(L, L, dtype=torch.bool, device=prompts.ids.device).tril().expand(len(prompts.ids), L, L)

    @staticmethod
    def _titles_see(prompts: PromptBatch, S: int) -> torch.Tensor:
        """(B, S, L): a title sees the prompt but for its last token, with which the title itself begins."""
        L = prompts.ids.shape[1]
        before_last = torch.arange(L, device=prompts.ids.device) < prompts.mask.sum(1, keepdim=True) - 1
        return before_last[:, None].expand(len(prompts.ids), S, L)

    @staticmethod
    def _places(prompts: PromptBatch, titles: PackedTitles) -> torch.Tensor:
        return prompts.mask.sum(1, keepdim=True) - 1 + titles.offset
