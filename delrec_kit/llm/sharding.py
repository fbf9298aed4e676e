"""The frozen weights of a language model spread over several processes, for models that one GPU does not hold.

Each process keeps a part of every layer; the whole of one layer is put together when it computes, forward and backward
(FSDP, arXiv 2304.11277, in its second version). What learns, P and the adapter, is small and stays whole everywhere.
"""

import torch
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from transformers.modeling_layers import GradientCheckpointingLayer

from delrec_kit.run.processes import processes
from delrec_kit.settings.errors import KitError

OF_4_BIT = ("compress_statistics", "quant_type")  # what peft asks a 4-bit weight for


def check_shardable(quantization: str) -> None:
    """Raise KitError for weights that cannot be spread."""
    if quantization == "int8":
        raise KitError("llm.quantization=int8 cannot be spread over processes; take nf4, or leave out --use_fsdp")


def shard(model: nn.Module, device: str) -> None:
    """Spread the layers of ``model`` (in place) over all processes, and put the rest of it whole on the ``device`` of
    each. It may lie in the CPU's memory before; then no GPU ever holds more than one layer and its own part."""
    mesh = init_device_mesh(torch.device(device).type, (processes(),))
    known = {name: {key: getattr(weight, key, None) for key in OF_4_BIT} for name, weight in model.named_parameters()}
    for layer in [module for module in model.modules() if isinstance(module, GradientCheckpointingLayer)]:
        fully_shard(nn.Module.to(layer, device), mesh=mesh)
    nn.Module.to(model, device)
    for name, weight in model.named_parameters():
        for key, value in known[name].items():
            if value is not None:
                setattr(weight, key, value)
