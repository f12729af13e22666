"""`python -m tests.benchmarks [names...] [--runs N] [--json] [--quick]`; always exits 0."""

import argparse
from collections.abc import Callable
from typing import Final

from .etl import etl_rows
from .footprint import memory_rows
from .inmemory import chunks_rows, whole_rows
from .lines import lines_rows
from .report import Row, as_json, header, header_line, table
from .settings import Settings
from .wire import hello_rows, requests_rows, upload_rows

BENCHMARKS: Final[dict[str, Callable[[Settings], list[Row]]]] = {
    "chunks": chunks_rows,
    "whole": whole_rows,
    "lines": lines_rows,
    "upload": upload_rows,
    "requests": requests_rows,
    "hello": hello_rows,
    "memory": memory_rows,
    "etl": etl_rows,
}


def parse() -> argparse.Namespace:
    width = max(map(len, BENCHMARKS))
    listing = (f"  {name:{width}}  {rows.__doc__}" for name, rows in BENCHMARKS.items())
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks",
        description="Measure asgi_bridge against today's peers, in paired runs.",
        epilog="benchmarks:\n" + "\n".join(listing),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("names", nargs="*", metavar="name", help="which; all if left out")
    parser.add_argument("--runs", type=int, metavar="N", help="measured rounds (7; 3 if quick)")
    parser.add_argument("--json", action="store_true", help="print JSON, with every run's figure")
    parser.add_argument("--quick", action="store_true", help="less work per run; not for quoting")
    options = parser.parse_args()
    if unknown := set(options.names) - set(BENCHMARKS):
        parser.error(f"no benchmark named {', '.join(sorted(unknown))}")
    if options.runs is not None and options.runs < 1:
        parser.error("--runs must be at least 1")
    return options


def main() -> None:
    options = parse()
    settings = Settings(runs=options.runs or (3 if options.quick else 7), quick=options.quick)
    facts = header()
    if not options.json:
        print(header_line(facts), end="\n\n", flush=True)
    rows = [row for name in options.names or BENCHMARKS for row in BENCHMARKS[name](settings)]
    print(as_json(facts, rows) if options.json else table(rows))


if __name__ == "__main__":
    main()
