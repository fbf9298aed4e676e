"""How many tokens a model's positions reach, told by its configuration."""

from typing import Any

NAMES = ("max_position_embeddings", "n_positions", "n_ctx", "max_sequence_length", "max_seq_len", "seq_length")
BEHIND_PADDING = (  # count positions from the padding token's id + 1, so that a table of 514 reads 512 tokens
    *("roberta", "roberta-prelayernorm", "xlm-roberta", "xlm-roberta-xl", "camembert", "xmod", "mpnet", "longformer"),
    *("esm", "ibert", "luke", "data2vec-text", "lilt"),
)


def positions(settings: Any) -> int | None:
    """Of a transformers configuration; None where positions are relative and have no end (T5, DeBERTa v3)."""
    if settings.is_encoder_decoder or not getattr(settings, "position_biased_input", True):
        return None
    named = (getattr(settings, name, None) for name in NAMES)
    reach = next((int(number) for number in named if isinstance(number, int) and number > 0), None)
    if reach is None or settings.model_type not in BEHIND_PADDING:
        return reach
    padding = getattr(settings, "pad_token_id", None)
    return reach - (1 if padding is None else int(padding)) - 1
