"""The same preparation by RecBole 1.2, run by an interpreter that has it: ``PYTHON recbole_peer.py FOLDER``.

RecBole wants older versions of numpy and pandas than the kit, so it lives in an environment of its own:
``pip install recbole "numpy<2" "pandas<2.2"``.
"""

import json
import re
import sys
import time
from pathlib import Path

CORE = 5


def main(folder: Path) -> None:
    from recbole.config import Config
    from recbole.data import create_dataset, data_preparation
    from recbole.utils import init_seed

    def peak() -> int:
        return int(re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())[1]) // 1024

    before, begun = peak(), time.perf_counter()
    atomic = folder / "made"
    atomic.mkdir(exist_ok=True)
    with (folder / "interactions.csv").open() as rows, (atomic / "made.inter").open("w") as out:
        next(rows)
        out.write("user_id:token\titem_id:token\ttimestamp:float\n")
        out.writelines(row.replace(",", "\t") for row in rows)
    written = time.perf_counter()
    config = Config(
        model="SASRec",
        dataset="made",
        config_dict={
            "data_path": str(folder),
            "load_col": {"inter": ["user_id", "item_id", "timestamp"]},
            "user_inter_num_interval": f"[{CORE},inf)",
            "item_inter_num_interval": f"[{CORE},inf)",
            "eval_args": {"split": {"LS": "valid_and_test"}, "order": "TO", "group_by": "user", "mode": "uni14"},
            "train_neg_sample_args": None,
            "use_gpu": False,
            "state": "ERROR",
        },
    )
    init_seed(0, True)
    dataset = create_dataset(config)
    data_preparation(config, dataset)
    told = {"write its format, s": round(written - begun, 1), "rows kept": len(dataset.inter_feat)}
    whole, cpu = round(time.perf_counter() - begun, 1), round(time.process_time(), 1)
    print(json.dumps({**told, "whole, s": whole, "CPU, s": cpu, "peak above start, MB": peak() - before}))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
