"""The batch script of workers: what submitit submits has the same lines as what --print shows."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from promptbench.executors._slurm.options import NAME, Flags, Options, words_of
from promptbench.planning.profiles import Profile
from promptbench.support.version import __version__
from promptbench.workers.plan.orders import Order
from promptbench.workers.plan.places import PLAN
from promptbench.workers.plan.submissions import JOBS

CELLS_LEFT = 75  # the exit code of a worker that was asked to stop while cells are left
_CANCELLED = "cancelled"
_END = "END_OF_PLAN"  # the plan is JSON with indents: no line of it reads so
# What follows Python on a command line; -P: no module of the folder that it is typed in.
PROMPTBENCH = ("-P", "-m", "promptbench.cli")


def job_name(plan: str) -> str:
    """What Slurm calls the workers of a plan, by its id."""
    return f"promptbench-{plan}"


def before(profile: Profile, folder: str) -> list[str]:
    """The lines before a worker: its plan's folder, the profile's set-up, its caches.

    Args:
        folder: of the plan, as a shell has it.
    """
    lines = [f"plan={folder}", *profile.setup]
    if profile.scratch is not None:
        place = profile.scratch
        if place.startswith("~/"):
            place = f"$HOME{place[1:]}"  # no shell replaces it within quotes
        lines.append(f'export PROMPTBENCH_CACHE="{place}/promptbench"')
    # A step does not take this over from the job by itself.
    lines.append('[ -z "$SLURM_CPUS_PER_TASK" ] || export SRUN_CPUS_PER_TASK=$SLURM_CPUS_PER_TASK')
    return lines


def after() -> list[str]:
    """The lines after a worker, which has just ended.

    Slurm does not requeue by itself what was ended ahead of its time limit.
    """
    return [
        "code=$?",
        f"# {CELLS_LEFT}: it was asked to stop while cells are left, as ahead of the time limit",
        f'if [ "$code" -eq {CELLS_LEFT} ] && [ ! -e "$plan/{_CANCELLED}" ]; then',
        '  scontrol requeue "$SLURM_JOB_ID"',
        "fi",
        'exit "$code"',
    ]


def _assumed(flags: Flags, options: Options) -> list[str]:
    """What sbatch may refuse although nobody asked for it."""
    if options.gpus is not None or "gpus-per-node" not in flags:
        return []
    return [f"# Nodes without GPUs take `gpus = 0` in [{NAME}] of the profile, or --device cpu."]


def whole(order: Order, workers: int, profile: Profile, options: Options, device: str) -> str:
    """The script that a site's own sbatch takes, with the plan inside.

    Args:
        workers: of the array.
    """
    flags: dict[str, str | None] = dict(options.flags(job_name(order.id), device))
    at_once = "" if options.at_once is None else f"%{options.at_once}"
    flags["array"] = f"0-{workers - 1}{at_once}"
    flags["output"] = f"{flags['job-name']}-%A_%a.log"
    command = [*words_of(options.python or "python3"), *PROMPTBENCH, "work"]
    origin = "no machine profile" if profile.path is None else f"the machine profile {profile.path}"
    return "\n".join(
        [
            "#!/bin/bash",
            f"# Workers of promptbench {__version__}, by {origin}. Submit it with: sbatch FILE",
            *_directives(flags),
            *_assumed(flags, options),
            "",
            "# The output folder; every node must see it under this path.",
            f"out={shlex.quote(str(order.machine.out))}",
            *before(profile, f'"$out/{order.folder.relative_to(order.machine.out)}"'),
            "",
            "# The first worker writes the plan. All write the same, and renaming is atomic.",
            f'if [ ! -e "$plan/{PLAN}" ]; then',
            '  mkdir -p "$plan" || exit 2',
            '  draft="$plan/.draft-$SLURM_JOB_ID"',
            f"  cat > \"$draft.json\" <<'{_END}'",
            order.text(),
            _END,
            '  cat > "$draft.jobs" <<END_OF_JOBS',
            f'{{"engine": "{NAME}", "jobs": ["$SLURM_ARRAY_JOB_ID"], '
            '"submitted": "$(date -u +%Y-%m-%dT%H:%M:%S+00:00)"}',
            "END_OF_JOBS",
            f'  mv "$draft.jobs" "$plan/{JOBS}" && mv "$draft.json" "$plan/{PLAN}" || exit 2',
            "fi",
            "",
            f'srun --unbuffered {shlex.join(command)} "$plan" --out "$out"',
            *after(),
            "",
        ]
    )


def _directives(flags: Flags) -> Sequence[str]:
    return [
        f"#SBATCH --{name}" + ("" if value is None else f"={shlex.quote(value)}")
        for name, value in flags.items()
    ]
