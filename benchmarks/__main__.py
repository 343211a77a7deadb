"""``python -m benchmarks``: run the plan, print the tables, and write the page if asked.

Takers are interleaved within a workload; workloads come one after the other. Progress goes to
stderr, tables to stdout. It measures nothing itself: every figure comes from a fresh process.
"""

from __future__ import annotations

import argparse
import datetime
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks import growth, machine, page, plan, plot, summary, table
from benchmarks.runner import ROOT, Run, run_once

COMMAND = "python -m benchmarks"


def main(argv: Sequence[str] | None = None) -> int:
    """Run what was asked for; a goal that is missed is a word in a table, not a failure."""
    options = parse(argv)
    facts = machine.facts()
    print(page.facts_list(facts))
    fresh: dict[str, str] = {}
    for workload in options.only:
        revision, load = machine.revision(ROOT), machine.load()
        runs = measure(workload, options.peers, options.repeats)
        stamp = f"{datetime.date.today()}, commit {revision}, load {load} to {machine.load()}"
        fresh[workload.key] = section(workload, runs, options, stamp)
        print(fresh[workload.key], flush=True)
        if options.write:
            draw(workload, runs, options.write)
            write(options.write, facts, fresh)
    return 0


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line, refusing names that do not exist."""
    parser = argparse.ArgumentParser(prog=COMMAND, description=__doc__)
    parser.add_argument("--only", type=_workloads, default=plan.WORKLOADS, metavar="rtt1,...")
    parser.add_argument("--peers", type=_takers, default=None, metavar="softgrid,futures,...")
    parser.add_argument("--repeats", type=_positive, default=5, help="rounds (default 5)")
    parser.add_argument("--write", type=Path, metavar="docs/benchmarks.md")
    return parser.parse_args(argv)


def measure(workload: plan.Workload, peers: set[str] | None, repeats: int) -> dict[str, list[Run]]:
    """Run every taker of *workload* once per round, in turn."""
    takers = [t for t in workload.takers if peers is None or plan.stem(t) in {plan.FLOOR, *peers}]
    runs: dict[str, list[Run]] = {taker: [] for taker in takers}
    rounds = min(repeats * workload.repeats_factor, workload.most_rounds)
    for number in range(-workload.warm_rounds, rounds):
        for taker in takers:
            if is_given_up(runs[taker]) or (number > 0 and taker in workload.once):
                continue
            run = run_once(taker, workload.key, workload.deadline_s)
            _progress(workload, number, rounds, taker, run)
            if number >= 0 or run.hopeless:
                runs[taker].append(run)
    return runs


def is_given_up(runs: Sequence[Run]) -> bool:
    """Whether more rounds would only fail again: not possible at all, or failed twice at first."""
    if any(run.hopeless for run in runs):
        return True
    return len(runs) >= 2 and not any(run.is_measured for run in runs)


def section(workload: plan.Workload, runs: dict[str, list[Run]], options: argparse.Namespace, stamp: str) -> str:
    """Title, explanation and tables of one workload."""
    command = f"{COMMAND} --only {workload.key} --repeats {options.repeats}"
    if options.peers is not None:
        command += f" --peers {','.join(sorted(options.peers))}"
    blocks = [f"## {workload.title}", workload.how, f"`{command}` ({stamp})"]
    for metric in workload.metrics:
        rows = [summary.row(metric, taker, runs) for taker in runs if summary.takes_part(metric, runs[taker])]
        blocks.append(table.metric_table(metric, rows))
    if workload.picture is not None:
        blocks.append(f"![{workload.title}]({workload.picture})")
    return "\n\n".join(blocks) + "\n"


def draw(workload: plan.Workload, runs: dict[str, list[Run]], page_path: Path) -> None:
    """Put the figures of a workload that has a picture beside the page, and its picture where somebody can draw."""
    if workload.picture is None:
        return
    measured = [run.metrics["figures"] for run in runs.get(plan.SOFTGRID, []) if run.is_measured]
    if not measured:
        return
    figures = growth.medians([[growth.Figures(**each) for each in run] for run in measured])
    path = page_path.with_name(workload.picture)
    path.with_suffix(".json").write_text(json.dumps([each._asdict() for each in figures], indent=1) + "\n")
    try:
        plot.draw(figures, path)
    except ImportError as error:
        print(f"{path} is as it was: {error}", file=sys.stderr)


def write(path: Path, facts: dict[str, str], fresh: dict[str, str]) -> None:
    """Renew the sections measured by now and keep the others."""
    kept = page.sections(path.read_text()) if path.exists() else {}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(page.render(f"{COMMAND} --write {path}", facts, {**kept, **fresh}))


def _progress(workload: plan.Workload, number: int, rounds: int, taker: str, run: Run) -> None:
    figures = [
        f"{table.figure(run.metrics[m.key])} {m.unit}"
        for m in workload.metrics
        if run.is_measured and m.key in run.metrics
    ]
    which = f"{number + 1}/{rounds}" if number >= 0 else "warm-up"
    said = run.reason or ", ".join(figures)
    print(f"{workload.key} {which} {taker}: {said}", file=sys.stderr, flush=True)


def _workloads(text: str) -> list[plan.Workload]:
    try:
        return [plan.workload(key) for key in text.split(",")]
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _takers(text: str) -> set[str]:
    accepted = {plan.SOFTGRID, *plan.PEERS, *plan.AFAR, *plan.LIBRARIES}
    if unknown := set(text.split(",")) - accepted:
        raise argparse.ArgumentTypeError(f"{sorted(unknown)}; accepted: {sorted(accepted)}")
    return set(text.split(","))


def _positive(text: str) -> int:
    if int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text}; accepted: 1 or more")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
