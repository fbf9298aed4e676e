"""T5's forward pass over packed titles, written flat: the training spends its time in it.

The same numbers as transformers' T5ForConditionalGeneration (a test holds the two together) in fewer passes over
memory, which is what bounds a model of this size on a CPU.
"""

import math

import torch
from torch.nn import functional as F
from transformers import T5Config

from delrec_kit.llm.prompts import PromptBatch
from delrec_kit.llm.titles import PackedTitles, additive

CLOSED = -1e4


class FlatT5:
    """weights: tensors by the names that T5ForConditionalGeneration gives them (tied head, relu feed-forward)."""

    def __init__(self, weights: dict[str, torch.Tensor], config: T5Config):
        self.w, self.c = weights, config

    def scores(
        self, prompts: PromptBatch, titles: PackedTitles, noise: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """(B, m) log-likelihoods of the whole titles, and (B, d) the encoder's state at each prompt's last token.

        noise: (B, L, d), added to the prompts' embeddings.
        """
        embeddings = self.w["shared.weight"]
        x = embeddings[prompts.ids]
        x = x if noise is None else x + noise.to(x.dtype)
        keys = torch.where(prompts.mask[:, None, None].bool(), 0.0, CLOSED).to(x.dtype)
        x = self._encode(x, keys)
        y = self._decode(embeddings[titles.inputs], titles, x, keys)
        logits = F.linear(y.flatten(0, 1)[titles.place] * self.c.d_model**-0.5, embeddings).float()
        values = -F.cross_entropy(logits, titles.labels, reduction="none")
        B, m = titles.lengths.shape
        scores = torch.zeros(B * m).index_add(0, titles.owner, values).view(B, m)
        return scores, x[torch.arange(B), prompts.mask.sum(1) - 1].float()

    def _encode(self, x: torch.Tensor, keys: torch.Tensor) -> torch.Tensor:
        bias = self._bias("encoder", x.shape[1]) + keys
        for i in range(self.c.num_layers):
            at = f"encoder.block.{i}.layer."
            n = self._norm(x, at + "0.layer_norm")
            x = x + self._attend(at + "0.SelfAttention", n, n, bias)
            x = x + self._feed(at + "1.", x)
        return self._norm(x, "encoder.final_layer_norm")

    def _decode(self, y: torch.Tensor, titles: PackedTitles, x: torch.Tensor, keys: torch.Tensor) -> torch.Tensor:
        bias = self._bias("decoder", y.shape[1]) + additive(titles.own(), y.dtype).clamp(min=CLOSED)
        for i in range(self.c.num_decoder_layers):
            at = f"decoder.block.{i}.layer."
            n = self._norm(y, at + "0.layer_norm")
            y = y + self._attend(at + "0.SelfAttention", n, n, bias)
            y = y + self._attend(at + "1.EncDecAttention", self._norm(y, at + "1.layer_norm"), x, keys)
            y = y + self._feed(at + "2.", y)
        return self._norm(y, "decoder.final_layer_norm")

    def _norm(self, x: torch.Tensor, name: str) -> torch.Tensor:
        scale = torch.rsqrt(x.float().pow(2).mean(-1, keepdim=True) + self.c.layer_norm_epsilon)
        return x * scale.to(x.dtype) * self.w[name + ".weight"]

    def _feed(self, at: str, x: torch.Tensor) -> torch.Tensor:
        up, down = (self.w[f"{at}DenseReluDense.{name}.weight"] for name in ("wi", "wo"))
        return F.linear(F.relu(F.linear(self._norm(x, at + "layer_norm"), up)), down)

    def _attend(self, at: str, n: torch.Tensor, x: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
        heads = (self.c.num_heads, self.c.d_kv)
        q, k, v = (
            F.linear(s, self.w[f"{at}.{name}.weight"]).unflatten(-1, heads).transpose(1, 2)
            for s, name in ((n, "q"), (x, "k"), (x, "v"))
        )
        weights = (q @ k.transpose(-1, -2) + bias).softmax(-1)
        return F.linear((weights @ v).transpose(1, 2).flatten(2), self.w[at + ".o.weight"])

    def _bias(self, stack: str, length: int) -> torch.Tensor:
        table = self.w[f"{stack}.block.0.layer.0.SelfAttention.relative_attention_bias.weight"]
        count, reach = self.c.relative_attention_num_buckets, self.c.relative_attention_max_distance
        return table[buckets(length, stack == "encoder", count, reach)].permute(2, 0, 1)[None]


def buckets(length: int, both_ways: bool, count: int, reach: int) -> torch.Tensor:
    """(length, length): T5's bucket of relative positions, exact when near, logarithmic up to ``reach`` when far."""
    distance = torch.arange(length)[None] - torch.arange(length)[:, None]
    base = torch.zeros_like(distance)
    if both_ways:
        count //= 2
        base, distance = (distance > 0).long() * count, distance.abs()
    else:
        distance = (-distance).clamp(min=0)
    exact = count // 2
    far = exact + (torch.log(distance.clamp(min=1) / exact) / math.log(reach / exact) * (count - exact)).long()
    return base + torch.where(distance < exact, distance, far.clamp(max=count - 1))
