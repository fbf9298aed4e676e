"""The three sequential recommenders, each a map from item ids (B, L) to a state (B, L, width) at every position.

Sequences are padded on the right with 0, and the state at a position depends on the items up to it alone, so that all
positions of a sequence train at once and padding never touches a real position. A state scores an item by the product
with the item's embedding, the same table that reads the items, plus the item's bias.
"""

import torch
from torch import nn
from torch.nn import functional as F

from delrec_kit.settings.config import TeacherConfig

INITIAL_SD = 0.02
HEADS = 1  # of attention in SASRec


class SequentialModel(nn.Module):
    """What the three share: the item table, dropout on it, and full-catalogue scores."""

    def __init__(self, n_items: int, config: TeacherConfig):
        super().__init__()
        self.items = nn.Embedding(n_items + 1, config.width, padding_idx=0)
        self.bias = nn.Parameter(torch.zeros(n_items + 1))
        self.dropout = nn.Dropout(config.dropout)
        nn.init.normal_(self.items.weight, std=INITIAL_SD)
        with torch.no_grad():
            self.items.weight[0] = 0.0

    def states(self, items: torch.Tensor) -> torch.Tensor:
        """(B, L) ids, 0 on the right -> (B, L, width)."""
        raise NotImplementedError

    def logits(self, states: torch.Tensor) -> torch.Tensor:
        """(…, width) -> (…, N): scores of items 1…N; padding has none."""
        return F.linear(states, self.items.weight[1:], self.bias[1:])

    def forward(self, items: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Mean cross-entropy over the whole catalogue at every position whose target is an item (0: no target)."""
        known = targets > 0
        return F.cross_entropy(self.logits(self.states(items)[known]), targets[known] - 1)


class SASRec(SequentialModel):
    """Self-attentive sequential recommendation (Kang & McAuley, arXiv 1808.09781), pre-norm, learned positions."""

    def __init__(self, n_items: int, config: TeacherConfig):
        super().__init__(n_items, config)
        self.positions = nn.Embedding(config.length, config.width)
        nn.init.normal_(self.positions.weight, std=INITIAL_SD)
        block = nn.TransformerEncoderLayer(
            config.width, HEADS, config.width, config.dropout, batch_first=True, norm_first=True
        )
        norm = nn.LayerNorm(config.width)
        self.blocks = nn.TransformerEncoder(block, config.layers, norm, enable_nested_tensor=False)

    def states(self, items: torch.Tensor) -> torch.Tensor:
        length = items.shape[1]
        inputs = self.dropout(self.items(items) + self.positions.weight[:length])
        later = torch.ones(length, length, dtype=torch.bool, device=items.device).triu(1)
        return self.blocks(inputs, mask=later, is_causal=True)


class GRU4Rec(SequentialModel):
    """Session-based recommendation with recurrent networks (Hidasi et al., arXiv 1511.06939), full cross-entropy."""

    def __init__(self, n_items: int, config: TeacherConfig):
        super().__init__(n_items, config)
        between = config.dropout if config.layers > 1 else 0.0
        self.gru = nn.GRU(config.width, config.width, config.layers, batch_first=True, dropout=between)
        self.out = nn.Linear(config.width, config.width)

    def states(self, items: torch.Tensor) -> torch.Tensor:
        return self.out(self.dropout(self.gru(self.dropout(self.items(items)))[0]))


class Caser(SequentialModel):
    """Convolutional sequence embedding (Tang & Wang, arXiv 1809.07426), without the user embedding.

    At each position the last ``window`` items form an image (window, width). Horizontal filters of heights 2, 3 and 4
    slide over it and keep their largest response; vertical filters weigh its rows. No table of users is learnt, so
    people who were not in the training data can be scored.
    """

    window = 10
    heights = (2, 3, 4)
    horizontal = 16
    vertical = 4

    def __init__(self, n_items: int, config: TeacherConfig):
        super().__init__(n_items, config)
        self.rows = nn.ModuleList(nn.Conv1d(config.width, self.horizontal, height) for height in self.heights)
        self.columns = nn.Conv2d(1, self.vertical, (self.window, 1))
        features = self.horizontal * len(self.heights) + self.vertical * config.width
        self.out = nn.Linear(features, config.width)

    def states(self, items: torch.Tensor) -> torch.Tensor:
        padded = F.pad(self.items(items), (0, 0, self.window - 1, 0))
        image = padded.transpose(1, 2)
        slides = [
            F.max_pool1d(F.relu(row(image)), self.window - height + 1, stride=1)
            for row, height in zip(self.rows, self.heights)
        ]
        weighed = self.columns(padded[:, None]).transpose(1, 2).flatten(2)
        features = torch.cat([torch.cat(slides, dim=1).transpose(1, 2), weighed], dim=2)
        return F.relu(self.out(self.dropout(features)))


MODELS: dict[str, type[SequentialModel]] = {"sasrec": SASRec, "gru4rec": GRU4Rec, "caser": Caser}
