"""python -m tools.site RUN OUT: the documentation as pages, with the notebooks as the run directory RUN executed them.

Warnings are errors: a page that lost its picture, or a docstring that does not parse, stops the build.
"""

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

from sphinx.cmd.build import main as sphinx_build

from tools.site.pages import lay_out


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path, help="a run directory that all notebooks have gone through")
    parser.add_argument("out", type=Path, help="folder of the pages; index.html is the first")
    asked = parser.parse_args()
    if not list((asked.run / "notebooks").glob("0*.ipynb")):
        parser.error(f"{asked.run} has no executed notebooks: make some with 'make demo'")
    with tempfile.TemporaryDirectory() as source:
        lay_out(asked.run, Path(source))
        shutil.rmtree(asked.out, ignore_errors=True)
        code = sphinx_build(["-b", "html", "-W", "--keep-going", "-q", "-j", "2", source, str(asked.out)])
    print(f"pages: {asked.out / 'index.html'}" if code == 0 else "the pages have faults, see above")
    return code


if __name__ == "__main__":
    sys.exit(main())
