"""Masked encoders: BERT, RoBERTa, MiniLM, ModernBERT. They compare what they read with vectors of the titles."""

import torch
from torch.nn import functional as F

from delrec_kit.llm.families.model import LanguageModel, Reading
from delrec_kit.llm.prompts import PromptBatch
from delrec_kit.llm.titles import PackedTitles, TitleTable
from delrec_kit.run.progress import progress
from delrec_kit.settings.errors import KitError

SCALE = 20.0  # of cosines before a softmax: sentence-transformers' for the losses that such models were trained with
BATCH = 256


class MaskedEncoder(LanguageModel):
    """A title fits by SCALE x cos(what the prompt says, the title's vector).

    A title's vector is the mean over the tokens of the title encoded alone by the frozen model, as sentence encoders
    do it. What the prompt says is the mean over the hidden states of the history's titles. Where P is conditioned it
    speaks of the user itself, and the mean is over the states of the soft tokens. Since all titles are compared at
    once, prompts list none and training ranks the whole catalogue.
    """

    task_type = "FEATURE_EXTRACTION"
    lists = False
    ranks_all = True

    def encode_titles(self, table: TitleTable) -> None:
        """vectors (N+1, d): one a title, equal for equal titles."""
        vectors = torch.zeros(len(table.lengths), self.d, device=self.device)
        own = [item for item in range(1, len(table.lengths)) if table.canonical[item] == item]
        own.sort(key=lambda item: int(table.lengths[item]))
        starts = range(0, len(own), BATCH)
        with torch.no_grad():
            for start in progress(starts, "encoding titles"):
                items = own[start : start + BATCH]
                rows = [[*self.format.opening, *table[item].tolist(), *self._end] for item in items]
                ids = torch.nn.utils.rnn.pad_sequence(
                    [torch.tensor(row) for row in rows], batch_first=True, padding_value=self.format.pad
                )
                mask = (torch.arange(ids.shape[1]) < torch.tensor([[len(row)] for row in rows])).to(self.device)
                hidden = self.model(input_ids=ids.to(self.device), attention_mask=mask.long()).last_hidden_state
                vectors[items] = F.normalize(_mean(hidden, mask), dim=-1)
        self.vectors = vectors[torch.from_numpy(table.canonical).to(self.device)]

    def answer_vectors(self, table: TitleTable) -> torch.Tensor:
        """The vectors that its answers are compared with."""
        return self.vectors[: len(table.lengths)]

    def read(self, prompts: PromptBatch, soft: torch.Tensor | None, reuse: bool = False) -> Reading:
        return Reading(prompts, self._encode(prompts, soft).last_hidden_state)

    def score(self, reading: Reading, titles: PackedTitles) -> torch.Tensor:
        if not hasattr(self, "vectors"):
            raise KitError("no title has a vector yet; call encode_titles() with the catalogue's titles first")
        answer = F.normalize(_mean(reading.states, self.read_out(reading.prompts)), dim=-1)
        if titles.items.shape[1] * 8 > len(self.vectors):  # most of the catalogue: no copy of its vectors a prompt
            return SCALE * (answer @ self.vectors.T).gather(1, titles.items)
        return SCALE * torch.einsum("bd,bmd->bm", answer, self.vectors[titles.items])

    def token_log_likelihoods(self, reading: Reading, titles: PackedTitles) -> torch.Tensor:
        raise NotImplementedError("a masked encoder gives no likelihoods; use score")

    def attentions(self, prompts: PromptBatch, titles: PackedTitles, soft: torch.Tensor | None) -> dict:
        with torch.no_grad(), self._eager():
            return self._checked({"encoder": self._encode(prompts, soft, output_attentions=True).attentions})

    def read_out(self, prompts: PromptBatch) -> torch.Tensor:
        """(B, L) true on the tokens whose states are averaged."""
        return prompts.history if prompts.expects is None else prompts.ids < 0

    @property
    def _end(self) -> tuple[int, ...]:
        return self.format.ending or self.format.answer

    def _encode(self, prompts: PromptBatch, soft: torch.Tensor | None, **kwargs):
        return self.model(inputs_embeds=self.embed(prompts, soft), attention_mask=prompts.mask, **kwargs)


def _mean(hidden: torch.Tensor, where: torch.Tensor) -> torch.Tensor:
    """(B, d): mean of (B, L, d) over the places that are true."""
    weights = where[..., None].float()
    return (hidden.float() * weights).sum(1) / weights.sum(1).clamp(min=1)
