"""``python -m benchmarks [--data-dir DIR --tokenizer DIR]``: every benchmark, as JSON and as a Markdown table."""

import argparse

from benchmarks import catalogue, data, gpu, likelihoods, recommending, scoring, training
from benchmarks.record import RESULTS, TITLES, page, write


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data-dir", help="MovieLens-100K; default: the demo world")
    parser.add_argument("--tokenizer", help="folder of another T5 tokenizer; default: the shipped one")
    parser.add_argument("--recbole", help="an interpreter that has RecBole, a peer in preparing data; default: none")
    parser.add_argument("--runs", type=int, default=5, help="of which medians are taken")
    parser.add_argument("--only", choices=TITLES, nargs="+", default=list(TITLES))
    given = parser.parse_args()
    ways = {
        "scoring": lambda: scoring.bench(given.data_dir, given.tokenizer, given.runs),
        "catalogue": lambda: catalogue.bench(given.runs),
        "recommending": lambda: recommending.bench(given.runs),
        "likelihoods": lambda: likelihoods.bench(given.runs),
        "training": lambda: training.bench(given.data_dir, given.tokenizer, given.runs),
        "data": lambda: data.bench(given.recbole),
        "gpu": lambda: gpu.bench(given.data_dir, given.tokenizer),
    }
    for name in given.only:
        print(f"{name} …", flush=True)
        rows = ways[name]()
        if not rows:  # what it needs is not installed, as it has said
            continue
        write(name, rows, given.runs)
    (RESULTS / "README.md").write_text(page())


if __name__ == "__main__":
    main()
