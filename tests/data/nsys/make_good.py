"""Makes good/, what fuzz_nsys begins with: recipes (see there) that have rows in every table.
`python make_good.py [folder]` writes them."""

import sys
from pathlib import Path

HERE = Path(__file__).parent
TABLES = 13  # those of nsys_work_tables, nsys_host_tables and nsys_nvtx_tables
COLUMNS = 26  # more than any has; what is left over begins the next row


def recipe(value: int, step: int) -> bytes:
    made = bytearray(1)
    for table in range(TABLES):
        made += bytes([table, table])
        made += bytes((value + i * step) % 160 for i in range(COLUMNS))
    for other in range(TABLES, 32):
        made += bytes([other]) + bytes((value + i) % 160 for i in range(5))
    return bytes(made)


if __name__ == "__main__":
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else HERE / "good"
    folder.mkdir(parents=True, exist_ok=True)
    for value, step in ((1, 0), (1, 1), (33, 7), (59, 0)):
        (folder / f"rows-of-{value}-by-{step}").write_bytes(recipe(value, step))
