"""The first measurements on a GPU, in the order in which decisions hang on them.

    python -m benchmarks.gpu                 all of them, within nine minutes
    python -m benchmarks.gpu --only chunks   some of them, comma-separated
    python -m benchmarks.gpu --dry           all on the CPU with tiny sizes: does everything run?

Rows are printed as they come, one line of JSON each; after each measurement, all rows so far are
written to `gpu.json` and, as tables, to `gpu.md` in the folder of --out. What fails is reported in
a row, and the rest goes on; the exit code is then 1. A measurement that would take more than its
part of the time ends early, which a row says.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import time
from collections.abc import Callable
from contextlib import closing
from datetime import date
from pathlib import Path

import torch

from benchmarks import gpu_images, gpu_numbers, gpu_processes, gpu_steps
from benchmarks.gpu_steps import Bench, Row, Rows
from promptbench.running.lab import arithmetic

Measurement = Callable[[Bench], Rows]

MEASUREMENTS: dict[str, Measurement] = {
    "tests": gpu_processes.tests,
    "runs": gpu_processes.runs,
    "determinism": gpu_numbers.determinism,
    "precisions": gpu_numbers.precisions,
    "flips": gpu_numbers.flips,
    "launches": gpu_steps.launches,
    "graphs": gpu_steps.graphs,
    "steps": gpu_steps.steps,
    "workers": gpu_processes.workers,
    "evaluation": gpu_images.evaluation,
    "variants": gpu_numbers.variants,
    "augmentation": gpu_images.augmentation,
    "chunks": gpu_steps.chunks,
    "small_cards": gpu_steps.small_cards,
    "compiled": gpu_steps.compiled,
}
_SHARE = 3  # times its equal part of the time left that a measurement may take


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default=",".join(MEASUREMENTS), help="comma-separated")
    parser.add_argument("--dry", action="store_true", help="on the CPU, with tiny sizes")
    parser.add_argument("--minutes", type=float, default=9, help="for all of them")
    parser.add_argument("--out", type=Path, default=Path(), help="a folder for gpu.json and gpu.md")
    options = parser.parse_args()
    names = options.only.split(",")
    if unknown := set(names) - set(MEASUREMENTS):
        raise SystemExit(
            f"no measurement {', '.join(unknown)}; there are {', '.join(MEASUREMENTS)}"
        )
    if not options.dry and not torch.cuda.is_available():
        raise SystemExit("there is no GPU; --dry tries everything on the CPU with tiny sizes")
    bench = Bench(torch.device("cpu") if options.dry else torch.device("cuda", 0), options.dry)
    arithmetic.settle(bench.device, None)
    options.out.mkdir(parents=True, exist_ok=True)
    end, rows = time.monotonic() + 60 * options.minutes, []
    for number, name in enumerate(names):
        left = end - time.monotonic()
        rows += measured(name, bench, min(left, _SHARE * left / (len(names) - number)))
        write(rows, bench, options.out)
    sys.exit(1 if any("failed" in row for row in rows) else 0)


def measured(name: str, bench: Bench, seconds: float) -> list[Row]:
    """The rows of a measurement, printed as they come; after so many seconds it ends early."""
    started, rows = time.monotonic(), []

    def tell(row: Row) -> None:
        rows.append({"measurement": name, **row})
        print(json.dumps(rows[-1]), flush=True)

    if seconds <= 0:
        tell({"left_out": "the time is up"})
        return rows
    try:
        with closing(MEASUREMENTS[name](bench)) as found:
            for row in found:
                tell(row)
                if time.monotonic() - started > seconds:
                    tell({"left_out": f"the rest, after {round(seconds)} s"})
                    break
    except Exception as error:  # the others are wanted all the same
        tell({"failed": " ".join(f"{type(error).__name__}: {error}".split())[:500]})
    bench.forget()
    done = {"measurement": name, "done_s": round(time.monotonic() - started, 1)}
    print(json.dumps(done), flush=True)
    return rows


def write(rows: list[Row], bench: Bench, folder: Path) -> None:
    """All rows, as JSON and as a table of each measurement."""
    about = {
        "device": device_name(bench.device),
        "torch": torch.__version__,
        "date": date.today().isoformat(),
        "small": bench.small,
    }
    (folder / "gpu.json").write_text(json.dumps({**about, "rows": rows}, indent=1) + "\n")
    parts = [", ".join(f"{name}: {value}" for name, value in about.items())]
    for name in dict.fromkeys(row["measurement"] for row in rows):
        parts += [f"## {name}", table([row for row in rows if row["measurement"] == name])]
    (folder / "gpu.md").write_text("\n\n".join(parts) + "\n")


def device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else platform.machine()


def table(rows: list[Row]) -> str:
    """Rows as a table in Markdown, with a column for each name that any of them has."""
    names = list(dict.fromkeys(name for row in rows for name in row if name != "measurement"))
    lines = [names, ["---"] * len(names)]
    lines += [["" if row.get(name) is None else str(row[name]) for name in names] for row in rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', '/') for cell in line)} |" for line in lines)


if __name__ == "__main__":
    main()
