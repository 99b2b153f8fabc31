"""The first measurements on a GPU, in the order in which decisions hang on them.

    python -m benchmarks.gpu                 all of them, within nine minutes
    python -m benchmarks.gpu --only chunks   some of them, comma-separated
    python -m benchmarks.gpu --dry           all on the CPU with tiny sizes: does everything run?

Rows are printed as they come, one line of JSON each, and after each of them all so far are written
to `gpu.json` and, as tables, to `gpu.md` in the folder of --out. Ctrl-C and SIGTERM keep them, too.
What fails is reported in a row, and the rest goes on; the exit code is then 1. A measurement that
would take more than its part of the time ends early, which a row says.
"""

from __future__ import annotations

import argparse
import json
import math
import signal
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import torch

from benchmarks import gpu_images, gpu_numbers, gpu_processes, gpu_steps
from benchmarks.gpu_rows import Kept
from benchmarks.gpu_steps import Bench, Rows
from promptbench.errors import OutputError
from promptbench.running.lab import arithmetic
from promptbench.storage.files import ensure_writable
from promptbench.support import stopping

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
    parser.add_argument("--minutes", type=minutes, default=9, help="for all of them")
    parser.add_argument("--out", type=Path, default=Path(), help="a folder for gpu.json and gpu.md")
    options = parser.parse_args()
    names = options.only.split(",")
    if unknown := sorted(set(names) - set(MEASUREMENTS)):
        parser.error(f"no measurement {', '.join(unknown)}; there are {', '.join(MEASUREMENTS)}")
    if not options.dry and not torch.cuda.is_available():
        parser.error("no GPU was found; --dry tries everything on the CPU with tiny sizes")
    device = torch.device("cpu") if options.dry else torch.device("cuda", 0)
    bench = Bench(device, options.dry, time.monotonic() + 60 * options.minutes)
    arithmetic.settle(bench.device, None)
    # A second signal changes nothing: what the first one leaves to do takes seconds.
    with stopping.answering(second=stopping.ignore, take_back=(signal.SIGINT,)):
        try:
            ensure_writable(options.out)
            kept = Kept(bench, options.out)
            measure(names, bench, kept)
        except OutputError as error:
            parser.error(str(error))
        except stopping.Stopped as stop:
            print(stop, file=sys.stderr)
            sys.exit(stop.exit_code)
    sys.exit(1 if kept.has_failed else 0)


def minutes(text: str) -> float:
    """The value of --minutes.

    Raises:
        ArgumentTypeError: it is not a positive number.
    """
    try:
        given = float(text)
    except ValueError:
        given = math.nan
    if not 0 < given < math.inf:
        raise argparse.ArgumentTypeError(f"a positive number of minutes is needed, not {text}")
    return given


def measure(names: Sequence[str], bench: Bench, kept: Kept) -> None:
    """All measurements, until the deadline.

    Raises:
        Stopped: a signal has ended them; rows are kept, of what it left out as well.
    """
    waiting = list(names)
    try:
        while waiting:
            left = bench.left()
            measured(waiting[0], bench, kept, min(left, _SHARE * left / len(waiting)))
            del waiting[0]
    except stopping.Stopped as stop:
        how = f"ended by {signal.Signals(stop.number).name}"
        kept.add(*({"measurement": name, "left_out": how} for name in waiting))
        stop.saved = [] if kept.unwritten else [f"all rows so far, in {kept.paths[0]}"]
        stop.remedy = f"--only {','.join(waiting)} with another --out measures the rest"
        raise


def measured(name: str, bench: Bench, kept: Kept, seconds: float) -> None:
    """Keep the rows of a measurement as they come; after so many seconds it ends early, and the
    programs that it has started are ended.

    Raises:
        Stopped: a signal has ended it.
    """
    started = time.monotonic()
    bench = replace(bench, deadline=started + seconds)
    if seconds <= 0:
        kept.add({"measurement": name, "left_out": "the time is up"})
        return
    try:
        with closing(MEASUREMENTS[name](bench)) as found:
            for row in found:
                kept.add({"measurement": name, **row})
                if bench.left() <= 0:
                    rest = f"the rest, after {round(seconds)} s"
                    kept.add({"measurement": name, "left_out": rest})
                    break
    except Exception as error:  # the others are wanted all the same
        stopping.refuse_wrapped(error)
        said = " ".join(f"{type(error).__name__}: {error}".split())[:500]
        kept.add({"measurement": name, "failed": said})
    bench.forget()
    done = {"measurement": name, "done_s": round(time.monotonic() - started, 1)}
    print(json.dumps(done), flush=True)


if __name__ == "__main__":
    main()
