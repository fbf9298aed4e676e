"""Named random streams: every draw has one of its own, so that adding a draw moves no other."""

import hashlib

import numpy as np


def stream(seed: int, name: str) -> np.random.Generator:
    """Random numbers that follow from ``seed`` and ``name`` alone."""
    return np.random.default_rng(int.from_bytes(_digest(seed, name), "big"))


def stream_seed(seed: int, name: str) -> int:
    """An integer below 2**32 that follows from ``seed`` and ``name`` alone, for torch and the like."""
    return int.from_bytes(_digest(seed, name)[:4], "big")


def _digest(seed: int, name: str) -> bytes:
    return hashlib.sha256(f"{seed}/{name}".encode()).digest()
