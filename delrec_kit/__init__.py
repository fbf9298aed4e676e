"""delrec_kit: distil a sequential recommender into soft prompts of a frozen, 4-bit language model.

The method is DELRec (arXiv 2406.11156). The rooms follow the stages, and each imports only from those to its left:
``data <- evaluation <- teachers <- llm <- training <- interpret``.

Notation, the same everywhere
    B  prompts in a batch          L  tokens in a prompt, or items in a teacher's sequence
    N  items in the catalogue      U  users (evaluation cases)
    P  the soft prompt, (k, d)     k  soft tokens          d  width of the LLM's embeddings
    C  a candidate set, m items    m  candidates, the answer included
    R  the teacher's top items     h  how many of them     a  items in TA's worked example
    T  temperature                 S  tokens of m packed titles
Items are integers 1…N in catalogue order; 0 is padding.
"""

import logging

logging.getLogger("bitsandbytes").setLevel(logging.ERROR)  # before its first import, which hints at optional kernels

__version__ = "0.1.0"
