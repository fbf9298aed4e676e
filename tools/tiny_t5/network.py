"""The stock T5 that is trained, and where its weights start."""

import torch
from transformers import T5Config, T5ForConditionalGeneration

HEADS = 4
EMBEDDING_SPREAD = 0.25
RESIDUAL_SCALE = 0.4
FINAL_NORM = 4.0


def new_network(
    vocabulary: int, width: int, encoder_layers: int, decoder_layers: int, seed: int
) -> T5ForConditionalGeneration:
    """Reading is done in the encoder, which is therefore the deeper stack. Input and output embeddings are one."""
    torch.manual_seed(seed)
    config = T5Config(
        vocab_size=-(-vocabulary // 64) * 64,
        d_model=width,
        d_kv=width // HEADS,
        num_heads=HEADS,
        d_ff=4 * width,
        num_layers=encoder_layers,
        num_decoder_layers=decoder_layers,
        feed_forward_proj="relu",
        dropout_rate=0.0,
        relative_attention_num_buckets=32,
        relative_attention_max_distance=128,
        pad_token_id=0,
        eos_token_id=1,
        decoder_start_token_id=0,
    )
    network = T5ForConditionalGeneration(config)
    with torch.no_grad():
        _start(network)
    return network


def _start(network: T5ForConditionalGeneration) -> None:
    """Stock initial values move too little in a short training: embeddings of spread 1 drown what layers add, and
    position biases near zero must be learned before any head can look at a neighbour."""
    network.shared.weight.normal_(0, EMBEDDING_SPREAD)
    for name, weight in network.named_parameters():
        if name.endswith((".o.weight", ".wo.weight")):
            weight.mul_(RESIDUAL_SCALE)
    network.decoder.final_layer_norm.weight.fill_(FINAL_NORM)
    reading, writing = (
        stack.block[0].layer[0].SelfAttention.relative_attention_bias.weight.normal_(0, 0.1)
        for stack in (network.encoder, network.decoder)
    )
    ahead = 16  # buckets 1, 2, … are that many tokens back, 17, 18, … that many ahead
    reading[ahead + 1, 0] += 4.0
    reading[1, 1] += 4.0
    reading[ahead + 1 : ahead + 5, 2] += 3.0
    reading[:5, 3] += 2.0
    writing[1, 0] += 3.0
