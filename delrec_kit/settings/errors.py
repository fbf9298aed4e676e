"""The one exception that the kit raises for a mistake its user can mend."""

from collections.abc import Iterable
from difflib import get_close_matches


class KitError(Exception):
    """Says in one line what was wrong, where, and what to do. The command line prints it and exits with 2."""


def nearest(word: str, known: Iterable[str]) -> str:
    """A hint such as ``; did you mean 'sasrec'? (known: …)`` to end an error about an unknown name."""
    known = sorted(known)
    match = get_close_matches(word, known, n=1, cutoff=0.5)
    hint = f"; did you mean '{match[0]}'?" if match else ""
    return f"{hint} (known: {', '.join(known)})"
