"""python -m tools.readable RUN: the executed notebooks of a run as Markdown, pictures beside them, to read on a forge.

They are written to docs/demo.
"""

import re
import shutil
import sys
from pathlib import Path

from nbconvert import MarkdownExporter

from tools.site.pages import shown

OUT = Path(__file__).parents[1] / "docs" / "demo"
TOUCH = "*(to touch: run the notebook, or `python -m delrec_kit explain RUN_DIR`)*"
STYLE = re.compile(r"<style.*?</style>\n?", re.DOTALL)
LINKS = re.compile(r"\]\(\.\./(?=docs/|figures/|delrec_kit/|experiments/|README)")


def main(run: Path) -> None:
    shutil.rmtree(OUT, ignore_errors=True)
    OUT.mkdir(parents=True)
    exporter = MarkdownExporter()
    for path in sorted((run / "notebooks").glob("0*.ipynb")):
        notebook = shown(path)
        for output in (output for cell in notebook["cells"] for output in cell.get("outputs", [])):
            if "<script" in output.get("data", {}).get("text/html", ""):
                output["data"] = {"text/markdown": TOUCH}
        text, found = exporter.from_notebook_node(notebook, {"output_files_dir": path.stem})
        text = STYLE.sub("", text).replace(str(run.resolve()), "runs/demo")
        (OUT / path.stem).mkdir(exist_ok=True)
        for name, content in found["outputs"].items():
            (OUT / name).write_bytes(content)
        (OUT / f"{path.stem}.md").write_text(LINKS.sub("](../../", text), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
