"""How the tiny T5 that ships with the kit was made: ``python -m tools.tiny_t5 --out DIR``.

It learns what the words of the demo's titles mean, and to follow written rules about made-up lists of films. It never
sees a person of the made world, nor a distribution of the world's choices.
"""
