"""Letters or numbers that stand before the candidates in a prompt, one answer token each: the index verbalizer."""

from string import ascii_uppercase
from typing import Any

from delrec_kit.llm.titles import TitleTable
from delrec_kit.settings.errors import KitError


class Labels:
    def __init__(self, tokenizer: Any, gap: str):
        self.tokenizer = tokenizer
        self.gap = gap

    def of(self, m: int) -> list[str]:
        """The labels of m candidates: letters while there are enough, then numbers."""
        return list(ascii_uppercase[:m]) if m <= len(ascii_uppercase) else [str(n) for n in range(1, m + 1)]

    def table(self, m: int) -> TitleTable:
        """Row i is the token of label i-1. Raises KitError where a label is not one token of its own."""
        rows = self.tokenizer([self.gap + label for label in self.of(m)], add_special_tokens=False)["input_ids"]
        if any(len(row) != 1 for row in rows) or len({row[0] for row in rows}) < m:
            raise KitError(
                f"the tokenizer has no token of its own for each of {m} labels ({self.of(m)[0]} … {self.of(m)[-1]}); "
                "use llm.verbalizer=title, or fewer data.candidates"
            )
        return TitleTable.of_rows([[], *rows], None)
