"""What learning from feedback brings, and what it costs, on public sets: three tables.

1. A desk's stream in file order: a model of the first 500 tickets decides each of the others, learning from each one's
   final value behind it (`triage feedback import --every`), beside the same model without learning.
2. Ten labels of banking77 that no model has seen, each added to the taxonomy with some examples: how many of their texts
   are found, and what the others lose; with the texts that the model learnt from in the memory, and without.
3. A source whose feedback is wrong, a tenth of all: what the right decisions of the rest of the stream lose.
"""

import argparse
import json
import random
import subprocess
import sys
import tempfile
from pathlib import Path

import desk_sets
from desk_sets import Row, draw, write_rows

FIRST = 500
WRONG_SHARE = 0.1
NEW_LABELS = 10
EXAMPLES = (3, 8, 20)
PIECE = 500


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--triage", type=Path, default=Path("target/release/triage"), help="the program")
    parser.add_argument("--seed", type=int, default=1, help="another seed: other new labels, other wrong feedback")
    parser.add_argument("--tables", nargs="+", choices=("stream", "labels", "wrong"), default=("stream", "labels", "wrong"))
    arguments = parser.parse_args()
    desk_sets.data_folder()
    program = Program(arguments.triage)
    if "stream" in arguments.tables:
        for name, every in (("grp_tickets", 500), ("endava_topic8", 500)):
            replay(program, name, every)
    if "labels" in arguments.tables:
        new_labels(program, arguments.seed)
    if "wrong" in arguments.tables:
        for name in ("grp_tickets", "endava_topic8"):
            wrong_feedback(program, name, arguments.seed)


class Program:
    def __init__(self, path: Path):
        if not path.is_file():
            sys.exit(f"error: {path} is missing: build it with `cargo build --release`, or name it with --triage")
        self.path = path

    def run(self, *arguments: str | Path) -> str:
        done = subprocess.run([self.path, *arguments], capture_output=True, text=True, check=False)
        if done.returncode != 0:
            sys.exit(f"error: triage {' '.join(map(str, arguments))} failed:\n{done.stderr}")
        return done.stdout

    def train(self, rows: Path, bundle: Path) -> None:
        self.run("train", "--input", rows, "--text", "text", "--label", "label", "--out", bundle, "--json")

    def learn(self, rows: Path, model: Path, data: Path, source: str, every: int | None = None) -> dict:
        more = [] if every is None else ["--every", str(every)]
        output = self.run("feedback", "import", rows, "--text", "text", "--label", "label", "--by", source,
                          "--model", model, "--data-dir", data, "--json", *more)
        return json.loads(output)

    def classify(self, rows: Path, model: Path, data: Path | None) -> list[str]:
        more = [] if data is None else ["--data-dir", data]
        output = self.run("classify", "--input", rows, "--text", "text", "--model", model, "--json", *more)
        return [json.loads(line)["fields"]["label"]["value"] or "" for line in output.splitlines()]


def replay(program: Program, name: str, every: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        first, rest, model, data = paths(folder, "first.csv", "rest.csv", "model", "data")
        rows = desk_sets.desk_set(name).read()
        write_rows(first, rows[:FIRST])
        write_rows(rest, rows[FIRST:])
        program.train(first, model)
        report = program.learn(rest, model, data, "desk", every)
        print(f"\n| {name}, tickets so far | learning | model alone | gained |\n|---|---|---|---|")
        milestones = [*report["milestones"], {"tickets": len(rows) - FIRST, "fields": report["fields"]}]
        for milestone in milestones:
            tally = milestone["fields"]["label"]
            on, off = tally["right"] / tally["tickets"], tally["right_by_model"] / tally["tickets"]
            print(f"| {milestone['tickets']} | {on:.1%} | {off:.1%} | {100 * (on - off):+.1f} |", flush=True)


def new_labels(program: Program, seed: int) -> None:
    rows = desk_sets.desk_set("banking77").read()
    labels = sorted({row.label for row in rows})
    new = sorted(random.Random(seed).sample(labels, NEW_LABELS))
    test = [row for row in rows if draw(row.text, seed) < desk_sets.TEST_SHARE]
    rest = [row for row in rows if draw(row.text, seed) >= desk_sets.TEST_SHARE]
    learnt = [row for row in rest if row.label not in new]
    print("\n| examples of each new label | memory | new labels found | others lose |\n|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        train, tested, model = paths(folder, "train.csv", "test.csv", "model")
        write_rows(train, learnt)
        write_rows(tested, test)
        program.train(train, model)
        before = right(program.classify(tested, model, None), test, new, False)
        for with_memory in (False, True):
            for examples in EXAMPLES:
                (data,) = paths(folder, f"data-{examples}-{with_memory}")
                if with_memory:
                    program.run("memory", "import", train, "--text", "text", "--label", "label", "--data-dir", data)
                for label in new:
                    texts = [row.text for row in rest if row.label == label][:examples]
                    given = [argument for text in texts for argument in ("--example", text)]
                    program.run("taxonomy", "add", "label", label, *given, "--model", model, "--data-dir", data)
                guesses = program.classify(tested, model, data)
                found, after = right(guesses, test, new, True), right(guesses, test, new, False)
                memory = "what the model learnt from" if with_memory else "empty"
                print(f"| {examples} | {memory} | {found:.1%} | {100 * (before - after):.1f} points |", flush=True)


def right(guesses: list[str], rows: list[Row], new: list[str], of_new: bool) -> float:
    """The share of right guesses among the rows of new labels, or of the others."""
    counted = [guess == row.label for guess, row in zip(guesses, rows) if (row.label in new) == of_new]
    return sum(counted) / len(counted)


def wrong_feedback(program: Program, name: str, seed: int) -> None:
    chance = random.Random(seed)
    rows = desk_sets.desk_set(name).read()[:10_000]
    labels = sorted({row.label for row in rows})
    with tempfile.TemporaryDirectory() as folder:
        first, piece, model, clean, spoilt = paths(folder, "first.csv", "piece.csv", "model", "clean", "spoilt")
        write_rows(first, rows[:FIRST])
        program.train(first, model)
        shares = {}
        is_wrong = [chance.random() < WRONG_SHARE for _ in rows]
        for data in (clean, spoilt):
            tickets = right_ones = 0
            for start in range(FIRST, len(rows), PIECE):
                part = list(zip(rows[start:start + PIECE], is_wrong[start:start + PIECE]))
                honest = [row for row, wrong in part if not wrong]
                others = [row for row, wrong in part if wrong]
                # Ids that no other piece has.
                tally = program.learn(numbered(piece, honest, f"h{start}"), model, data, "desk")["fields"]["label"]
                tickets, right_ones = tickets + tally["tickets"], right_ones + tally["right"]
                if data == spoilt:
                    lies = [Row(row.text, chance.choice([one for one in labels if one != row.label])) for row in others]
                    program.learn(numbered(piece, lies, f"w{start}"), model, data, "mallory")
            shares[data] = right_ones / tickets
        lost = 100 * (shares[clean] - shares[spoilt])
        print(f"\n{name}: a tenth wrong from one source costs {lost:.1f} points "
              f"({shares[clean]:.1%} without it, {shares[spoilt]:.1%} with it)", flush=True)


def numbered(path: Path, rows: list[Row], prefix: str) -> Path:
    """Rows as JSON lines, each with an id."""
    lines = [json.dumps({"id": f"{prefix}-{number}", "text": row.text, "label": row.label}) for number, row in enumerate(rows)]
    path = path.with_suffix(".jsonl")
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def paths(folder: str, *names: str) -> tuple[Path, ...]:
    return tuple(Path(folder) / name for name in names)


if __name__ == "__main__":
    main()
