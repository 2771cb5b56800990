"""CPU time of fitting all of endava_topic8, and of classifying tickets that were held back, beside scikit-learn.

`triage` is measured as a program: starting, reading rows, reading the bundle and writing JSON are in its time. Of
scikit-learn only fitting and predicting are counted, on texts already in memory. `triage train` also chooses its
settings and calibrates, which the one fit of scikit-learn does not.
"""

import argparse
import json
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import desk_sets
from contenders import LinearSvm, Triage, texts
from desk_sets import Row

SET = "endava_topic8"
# The held-back tickets are classified so many times over, so that starting up does not count for much.
TIMES = 5


@dataclass(frozen=True)
class Speed:
    fit_cpu_seconds: float
    tickets_a_cpu_second: float
    accuracy: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--triage", type=Path, default=Path("target/release/triage"), help="the program")
    parser.add_argument("--seed", type=int, default=1, help="another seed, another split")
    parser.add_argument("--json", action="store_true", help="one JSON document")
    arguments = parser.parse_args()
    program = Triage(arguments.triage)
    rows = desk_sets.desk_set(SET).read()
    train, test = desk_sets.desk_set(SET).split(arguments.seed, rows)
    ours, peer = measure_triage(program, rows, train, test), measure_peer(rows, train, test)

    fit_ratio = ours.fit_cpu_seconds / peer.fit_cpu_seconds
    classify_ratio = ours.tickets_a_cpu_second / peer.tickets_a_cpu_second
    if arguments.json:
        figures = {"set": SET, "fitted_rows": len(rows), "classified_rows": len(test) * TIMES,
                   "triage": vars(ours), "scikit_learn": vars(peer),
                   "fit_cpu_ratio": fit_ratio, "classify_ratio": classify_ratio}
        print(json.dumps(figures))
        return
    print(f"| {SET} | triage | {LinearSvm().name} | ratio |")
    print("|---|---|---|---|")
    print(f"| fitting {len(rows)} tickets, CPU s | {ours.fit_cpu_seconds:.1f} | {peer.fit_cpu_seconds:.1f} "
          f"| {fit_ratio:.2f} of the time |")
    print(f"| classifying, tickets a CPU second | {ours.tickets_a_cpu_second:.0f} | {peer.tickets_a_cpu_second:.0f} "
          f"| {classify_ratio:.1f} times as many |")
    print(f"| accuracy on {len(test)} tickets held back | {ours.accuracy:.1%} | {peer.accuracy:.1%} | |")


def measure_triage(program: Triage, rows: list[Row], train: list[Row], test: list[Row]) -> Speed:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        desk_sets.write_rows(folder / "all.csv", rows)
        desk_sets.write_rows(folder / "train.csv", train)
        desk_sets.write_rows(folder / "test.csv", test)
        desk_sets.write_rows(folder / "tickets.csv", test * TIMES)
        fit_seconds = program.train(folder / "all.csv", folder / "all")
        program.train(folder / "train.csv", folder / "bundle")
        _, report = program.evaluate(folder / "bundle", folder / "test.csv")
        output = folder / "decisions.jsonl"
        seconds = program.classify(folder / "bundle", folder / "tickets.csv", output)
        with output.open("rb") as lines:
            classified = sum(1 for _ in lines)
    if classified != len(test) * TIMES:
        raise SystemExit(f"error: {classified} decisions for {len(test) * TIMES} tickets")
    return Speed(fit_seconds, classified / seconds, report["accuracy"])


def measure_peer(rows: list[Row], train: list[Row], test: list[Row]) -> Speed:
    svm = LinearSvm()
    start = time.process_time()
    svm.fit(svm.vectoriser().fit_transform(texts(rows)), labels(rows))
    fitted = time.process_time()

    vectoriser = svm.vectoriser()
    model = svm.fit(vectoriser.fit_transform(texts(train)), labels(train))
    tickets = texts(test) * TIMES
    ready = time.process_time()
    guesses = model.predict(vectoriser.transform(tickets))
    seconds = time.process_time() - ready
    right = sum(guess == row.label for guess, row in zip(guesses, test))
    return Speed(fitted - start, len(tickets) / seconds, right / len(test))


def labels(rows: list[Row]) -> list[str]:
    return [row.label for row in rows]


if __name__ == "__main__":
    main()
