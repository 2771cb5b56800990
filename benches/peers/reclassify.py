"""A million tickets reclassified as a job, beside scikit-learn doing the same: read the file, predict, write the file.

Both learn the same tickets of endava_topic8 first, which is not counted. The others are repeated with ids of their own
until there are --tickets. scikit-learn reads the file in blocks, so that it needs no more memory than it must, and
writes the same lines. Counted are processor seconds of the whole process, start included; resident memory is the most
that the process ever had.
"""

import argparse
import csv
import dataclasses
import json
import os
import subprocess
import sys
import tempfile
from itertools import cycle, islice
from pathlib import Path

import desk_sets
from contenders import LinearSvm, Triage, texts

SET = "endava_topic8"
BLOCK = 10_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--triage", type=Path, default=Path("target/release/triage"), help="the program")
    parser.add_argument("--tickets", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1, help="another seed, another split")
    parser.add_argument("--keep", type=Path, help="work in this folder and leave it")
    parser.add_argument("--peer", nargs=3, metavar=("TRAIN", "INPUT", "OUTPUT"), type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.peer:
        predict_with_peer(*arguments.peer)
        return
    with tempfile.TemporaryDirectory() as name:
        folder = arguments.keep or Path(name)
        folder.mkdir(parents=True, exist_ok=True)
        measure(folder, arguments)


def measure(folder: Path, arguments: argparse.Namespace) -> None:
    train, test = desk_sets.desk_set(SET).split(arguments.seed)
    desk_sets.write_rows(folder / "train.csv", train)
    write_tickets(folder / "tickets.csv", test, arguments.tickets)
    Triage(arguments.triage).train(folder / "train.csv", folder / "bundle")

    ours = run([arguments.triage, "reclassify", "--input", folder / "tickets.csv", "--text", "text", "--id", "id",
                "--current", "label", "--output", folder / "ours.jsonl", "--data-dir", folder / "data",
                "--model", folder / "bundle", "--json"])
    # Started and fitted, and nothing predicted: what it costs to get there.
    (folder / "none.csv").write_text("id,text,label\n")
    peer = [sys.executable, __file__, "--peer", folder / "train.csv"]
    fitting = run([*peer, folder / "none.csv", folder / "none.jsonl"])
    theirs = run([*peer, folder / "tickets.csv", folder / "theirs.jsonl"])
    theirs.cpu -= fitting.cpu

    print(f"| {arguments.tickets} tickets of {SET} | triage reclassify | {LinearSvm().name} | ratio |")
    print("|---|---|---|---|")
    ours_rate, theirs_rate = arguments.tickets / ours.cpu, arguments.tickets / theirs.cpu
    print(f"| tickets a CPU second | {ours_rate:.0f} | {theirs_rate:.0f} | {ours_rate / theirs_rate:.1f} times |")
    print(f"| wall seconds | {ours.wall:.0f} | {theirs.wall - fitting.wall:.0f} | |")
    processors = len(os.sched_getaffinity(0))
    print(f"| processors busy, of {processors} | {ours.cpu / ours.wall:.2f} | | |")
    print(f"| most resident memory, MB | {ours.memory_mb:.0f} | {theirs.memory_mb:.0f} | |")
    right = [accuracy(folder / name, test) for name in ("ours.jsonl", "theirs.jsonl")]
    print(f"| accuracy | {right[0]:.1%} | {right[1]:.1%} | |")


def write_tickets(path: Path, rows: list[desk_sets.Row], count: int) -> None:
    if path.exists():
        return
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "text", "label"])
        for number, row in enumerate(islice(cycle(rows), count)):
            writer.writerow([f"T{number}", row.text, row.label])


@dataclasses.dataclass
class Run:
    wall: float
    cpu: float
    memory_mb: float


def run(command: list) -> Run:
    command = list(map(str, command))
    child = [sys.executable, Path(__file__).with_name("child.py"), *command]
    figures = json.loads(subprocess.run(child, stdout=subprocess.PIPE, check=True).stdout)
    status = figures.pop("status")
    if status != 0:
        raise SystemExit(f"error: {' '.join(command)} ended with {status}")
    return Run(**figures)


def predict_with_peer(train: Path, source: Path, output: Path) -> None:
    svm = LinearSvm()
    with train.open(newline="", encoding="utf-8") as file:
        rows = [(row["text"], row["label"]) for row in csv.DictReader(file)]
    vectoriser = svm.vectoriser()
    model = svm.fit(vectoriser.fit_transform([text for text, _ in rows]), [label for _, label in rows])
    with source.open(newline="", encoding="utf-8") as file, output.open("w", encoding="utf-8") as out:
        reader = csv.DictReader(file)
        while block := list(islice(reader, BLOCK)):
            guesses = model.predict(vectoriser.transform([row["text"] for row in block]))
            for row, guess in zip(block, guesses):
                current = row["label"]
                field = {"current": current, "value": guess, "changed": bool(guess != current)}
                out.write(json.dumps({"id": row["id"], "fields": {"label": field}}) + "\n")


def accuracy(output: Path, rows: list[desk_sets.Row]) -> float:
    """The rows' own labels are what the tickets have today, so that a right guess changes nothing."""
    with output.open(encoding="utf-8") as lines:
        fields = [json.loads(line)["fields"]["label"] for line in islice(lines, len(rows))]
    return sum(field["value"] == field["current"] for field in fields) / len(fields)


if __name__ == "__main__":
    main()
