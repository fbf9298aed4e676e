"""What the tests of this room share."""

import pytest


@pytest.fixture
def slot():
    """slot(prompt, table, name): item ids of a slot, read back from the tokens."""

    def _slot(prompt, table, name):
        rows = [tuple(prompt.ids[s.start : s.stop]) for s in prompt.segments if s.name == name]
        known = {tuple(table[i]): i for i in range(len(table.lengths) - 1, 0, -1)}
        return [known[row] for row in rows]

    return _slot
