"""Fonts for titles that matplotlib's own font has no letters for: Chinese, Japanese, Korean, emoji and others."""

import warnings
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

PLACEHOLDERS = "Last Resort"  # a font that matplotlib ships has a box for every letter
LATIN = 0x24F  # the last letter that every font has
PREFERRED = ("cjk", "emoji", "unicode", "gothic", "hei", "sans", "noto")
MOST = 3  # fonts beside matplotlib's own


def use_fonts_for(titles: Iterable[str]) -> None:
    """Let matplotlib fall back on fonts of this machine that have the titles' letters; say once where none has."""
    letters = {ord(letter) for title in titles for letter in title if ord(letter) > LATIN}
    if not letters:
        return
    import matplotlib as mpl
    from matplotlib import font_manager

    missing = letters - _letters(font_manager.findfont("DejaVu Sans"))
    names = ["DejaVu Sans"]
    fonts = [font for font in font_manager.fontManager.ttflist if not font.name.startswith(PLACEHOLDERS)]
    for font in sorted(fonts, key=lambda font: -sum(word in font.name.lower() for word in PREFERRED)):
        if not missing or len(names) > MOST:
            break
        if missing & (found := _letters(font.fname)):
            names.append(font.name)
            missing -= found
    mpl.rcParams["font.family"] = names
    if missing:
        warnings.filterwarnings("ignore", message=r"Glyph \d+ .* missing from", category=UserWarning)
        some = "".join(map(chr, sorted(missing)[:5]))
        print(
            f"no font of this machine has {len(missing)} letters of the titles ({some} …): pictures show boxes for "
            "them; Noto Sans CJK and Noto Emoji have most"
        )


@lru_cache(maxsize=256)
def _letters(path: str) -> frozenset[int]:
    from matplotlib.ft2font import FT2Font

    try:
        return frozenset(FT2Font(str(Path(path))).get_charmap())
    except (OSError, RuntimeError):
        return frozenset()
