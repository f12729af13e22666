"""`python -m tests.soak`: run it, and print a table for docs/reliability.md."""

import argparse
import asyncio
import os
import sys
from collections.abc import Sequence

from .soak import SERVERS, Tally, all_serving, soak

MIB = 1024 * 1024
HALF_AN_HOUR = 1800.0
COLUMNS = (
    "server",
    "calls",
    "MB",
    "wrong",
    "failed",
    "memory, MiB",
    "slope, KiB/min",
    "blocks a call",
    "left",
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the soak; the exit code is 0 if there is nothing to complain of."""
    parser = argparse.ArgumentParser(prog="tests.soak", description=__doc__)
    parser.add_argument("--seconds", type=float, default=HALF_AN_HOUR)
    parser.add_argument("--servers", nargs="+", choices=SERVERS, default=SERVERS)
    parser.add_argument("--seed", type=int, default=0)
    parsed = parser.parse_args(arguments)
    # The machine is as busy as it can be: what is slow must not look as if it stalled.
    os.environ.setdefault("FAULTS_TIMEOUT", "5")
    with all_serving(parsed.servers) as servers:
        tallies = asyncio.run(soak(servers, parsed.seconds, parsed.seed))
    report(tallies, parsed.seconds)
    return int(any(each.wrongs or each.failures or each.left for each in tallies))


def report(tallies: Sequence[Tally], seconds: float) -> None:
    """Print the table, and then what there is to complain of."""
    print(f"{seconds:.0f} s, {sum(each.calls.total() for each in tallies)} calls")
    print("| " + " | ".join(COLUMNS) + " |")
    print("|---" * len(COLUMNS) + "|")
    for each in tallies:
        memory = f"{each.watch.first / MIB:.0f} to {each.watch.peak / MIB:.0f}"
        print(
            f"| {each.name} | {each.calls.total()} | {each.bytes / 1e6:.0f} | {each.wrongs} "
            f"| {each.failures} | {memory} | {each.watch.slope * 60 / 1024:.0f} "
            f"| {each.blocks:+.2f} | {each.left or 'nothing'} |"
        )
    for each in tallies:
        for line in [*each.wrong, *each.failed]:
            print(f"{each.name}: {line}")


if __name__ == "__main__":
    sys.exit(main())
