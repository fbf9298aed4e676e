"""The kit from Python: five calls from a DataFrame to recommendations, thin over the run directory.

``Dataset.from_frame``, ``Teacher.fit``, ``distill``, ``finetune``, and a ``Recommender`` that ranks, explains and is
saved. Each stage is that of the numbered notebooks: a finished one is skipped, a killed one goes on.
"""
