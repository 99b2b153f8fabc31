"""One of several processes that train on the same card: `benchmarks.gpu` starts them and counts.

    python -m benchmarks.beside --method coop --classes 50 --batch 4 --seconds 20

Prints "ready" when its steps are warm, waits for a line, then takes steps for the given time and
prints one line of JSON.
"""

from __future__ import annotations

import argparse
import json
import sys
import time

from benchmarks import setting
from benchmarks.setting import BACKBONE
from benchmarks.step import ours, peak_of_process, replayer, stepper
from benchmarks.work import synchronise
from promptbench.running.lab import arithmetic
from promptbench.running.lab.compute import resolve


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--method", required=True)
    parser.add_argument("--classes", type=int, default=50)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--backbone", default=BACKBONE)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--graphs", action="store_true", help="replay steps, where a run does")
    options = parser.parse_args()
    compute = resolve(options.device, options.precision)
    arithmetic.settle(compute.device, 1)
    now = setting.setting(options.method, options.backbone, options.classes, options.batch, compute)
    step = stepper(now, lambda: ours(now), compute)
    if options.graphs and (replayed := replayer(now, compute, lambda why: sys.exit(why))):
        step = replayed
    for _ in range(3):
        step()
    synchronise(compute.device)
    print("ready", flush=True)
    sys.stdin.readline()
    count, started = 0, time.perf_counter()
    while time.perf_counter() - started < options.seconds:
        step()
        count += 1
    synchronise(compute.device)
    seconds = time.perf_counter() - started
    print(json.dumps({"steps_per_s": count / seconds, "peak_mb": peak_of_process(compute)}))


if __name__ == "__main__":
    main()
