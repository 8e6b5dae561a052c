"""Print the rows that benchmarks saved (MRCNN_BENCH_ROWS, see `common.report`) as one table: `python table.py rows.jsonl`."""
import json
import sys

import common


def main() -> None:
    """Print the table."""
    with open(sys.argv[1], encoding="utf-8") as file:
        rows = [json.loads(row) for row in file]
    print(f"\n{common.machine()}")
    for row in rows:
        print(common.line(row))


if __name__ == "__main__":
    main()
