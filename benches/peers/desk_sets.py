"""The public sets that the figures are about, and how their rows are split.

A split depends on nothing but a row's text and the seed: texts that differ only in case and blanks are on the same
side, so that no test row has a copy in training.
"""

import csv
import gzip
import hashlib
import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path

OUT_OF_SCOPE = "oos"
TEST_SHARE = 0.2


@dataclass(frozen=True)
class Row:
    text: str
    label: str


@dataclass(frozen=True)
class DeskSet:
    """One line of the table."""

    name: str
    file: str
    text: tuple[str, ...]
    label: str
    # Training rows of each label; None: all of them.
    rows_a_label: int | None = None

    def read(self) -> list[Row]:
        """Rows that have a text and a label."""
        path = data_folder() / self.file
        if not path.is_file():
            sys.exit(f"error: {path} is missing: name the folder that holds the sets in TRIAGE_DATA")
        with gzip.open(path, "rt", encoding="utf-8") as lines:
            rows = [self.row(json.loads(line)) for line in lines]
        return [row for row in rows if row.text.strip() and row.label]

    def row(self, columns: dict) -> Row:
        text = "\n".join(columns[name] for name in self.text if columns.get(name))
        return Row(text, str(columns.get(self.label) or ""))

    def split(
        self, seed: int, rows: list[Row] | None = None, test_share: float = TEST_SHARE
    ) -> tuple[list[Row], list[Row]]:
        """Rows to train on and rows to test on."""
        rows = self.read() if rows is None else rows
        drawn = [(draw(row.text, seed), row) for row in rows]
        train = [one for one in drawn if one[0] >= test_share]
        test = [row for share, row in drawn if share < test_share]
        if self.rows_a_label is not None:
            train = few_a_label(train, self.rows_a_label)
        return [row for _, row in train], test


DESK_SETS = (
    DeskSet("endava_topic8", "endava_topic8/dev.jsonl.gz", ("text",), "label"),
    DeskSet("endava_full5k", "endava_full5k/dev.jsonl.gz", ("text",), "category"),
    DeskSet("grp_tickets", "grp_tickets/dev.jsonl.gz", ("short_description", "description"), "assignment_group"),
    DeskSet("nlbse24", "nlbse24/dev.jsonl.gz", ("title", "body"), "label"),
    DeskSet("banking77", "banking77/dev.jsonl.gz", ("text",), "label"),
    DeskSet("banking77_700", "banking77/dev.jsonl.gz", ("text",), "label", rows_a_label=10),
    DeskSet("clinc150", "clinc150/dev.jsonl.gz", ("text",), "label"),
)


def desk_set(name: str) -> DeskSet:
    return next(one for one in DESK_SETS if one.name == name)


def data_folder() -> Path:
    folder = os.environ.get("TRIAGE_DATA")
    if not folder:
        print("error: TRIAGE_DATA is not set: it names the folder that holds the sets", file=sys.stderr)
        raise SystemExit(2)
    return Path(folder)


def draw(text: str, seed: int) -> float:
    """A number from 0 up to 1 that only the words of the text and the seed decide."""
    words = " ".join(text.lower().split())
    digest = hashlib.sha256(f"{seed}\n{words}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def few_a_label(drawn: list[tuple[float, Row]], at_most: int) -> list[tuple[float, Row]]:
    """The first rows of each label, in the order of their draws."""
    taken: dict[str, int] = {}
    few = []
    for share, row in sorted(drawn, key=lambda one: one[0]):
        taken[row.label] = taken.get(row.label, 0) + 1
        if taken[row.label] <= at_most:
            few.append((share, row))
    return few


def write_rows(path: Path, rows: list[Row]) -> None:
    """Rows as CSV with the columns `text` and `label`."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["text", "label"])
        writer.writerows((row.text, row.label) for row in rows)
