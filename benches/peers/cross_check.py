"""How right `triage` and scikit-learn are on every row of a set, each guessed by a model that learnt from the others.

The rows are parted by their texts into --folds; the more there are, the nearer is what is learnt from to the whole set.
Accuracy and macro-F1 are over all rows at once, so that a rare label counts by all of its rows. Rows out of scope are
learnt from and not guessed.
"""

import argparse
import json
import math
import tempfile
from pathlib import Path

import numpy as np
from sklearn.metrics import f1_score

import desk_sets
from accuracy import EXTRA_PEERS, PEER
from contenders import LinearSvm, Triage, texts
from desk_sets import OUT_OF_SCOPE, Row, draw, write_rows

SETS = ("grp_tickets", "endava_full5k", "banking77", "endava_topic8")


def main() -> None:
    names = [one.name for one in desk_sets.DESK_SETS if one.rows_a_label is None]
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--triage", type=Path, default=Path("target/release/triage"), help="the program")
    parser.add_argument("--sets", nargs="+", choices=names, default=SETS, metavar="SET", help=" ".join(names))
    parser.add_argument("--folds", type=int, default=10)
    parser.add_argument("--seed", type=int, default=1, help="another seed, other folds")
    parser.add_argument("--no-peers", action="store_true", help="only triage")
    parser.add_argument("--encoder", type=Path, metavar="DIR", help="folder of a sentence encoder to train with")
    arguments = parser.parse_args()
    triage = Triage(arguments.triage, arguments.encoder)
    desk_sets.data_folder()

    print("| set | contender | accuracy | macro-F1 | triage is right in so many more rows |")
    print("|---|---|---|---|---|")
    for name in arguments.sets:
        rows = desk_sets.desk_set(name).read()
        folds = np.array([int(draw(row.text, arguments.seed) * arguments.folds) for row in rows])
        inside = np.array([row.label != OUT_OF_SCOPE for row in rows])
        truth = np.array([row.label for row in rows])
        peers = () if arguments.no_peers else (PEER, *EXTRA_PEERS.get(name, ()))
        ours = None
        for contender in (triage, *peers):
            guesses = np.full(len(rows), "", dtype=object)
            for fold in range(arguments.folds):
                tested = (folds == fold) & inside
                train = [row for row, held_back in zip(rows, folds == fold) if not held_back]
                guesses[tested] = guess(contender, train, [row for row, test in zip(rows, tested) if test])
            print(line(name, contender.name, truth[inside], guesses[inside], ours), flush=True)
            ours = guesses[inside] if ours is None else ours


def guess(contender: Triage | LinearSvm, train: list[Row], test: list[Row]) -> list[str]:
    """The label of each row to test."""
    if isinstance(contender, LinearSvm):
        train = [row for row in train if row.label != OUT_OF_SCOPE]
        vectoriser = contender.vectoriser()
        model = contender.fit(vectoriser.fit_transform(texts(train)), np.array([row.label for row in train]))
        return list(model.predict(vectoriser.transform(texts(test))))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_rows(folder / "train.csv", train)
        write_rows(folder / "test.csv", test)
        contender.train(folder / "train.csv", folder / "bundle")
        contender.classify(folder / "bundle", folder / "test.csv", folder / "guesses.jsonl")
        with (folder / "guesses.jsonl").open(encoding="utf-8") as lines:
            return [json.loads(line)["fields"]["label"]["value"] or "" for line in lines]


def line(name: str, contender: str, truth: np.ndarray, guesses: np.ndarray, ours: np.ndarray | None) -> str:
    right = guesses == truth
    macro_f1 = f1_score(truth, guesses, labels=np.unique(truth), average="macro", zero_division=0)
    ahead = ""
    if ours is not None:
        # Of rows that only one of the two gets right, each falls to either as a coin would (McNemar 1947).
        won, lost = int(((ours == truth) & ~right).sum()), int((right & (ours != truth)).sum())
        ahead = f"{(won - lost) / len(truth):+.1%}, deviation {math.sqrt(won + lost) / len(truth):.1%}"
    return f"| {name}, {len(truth)} rows | {contender} | {right.mean():.1%} | {macro_f1:.1%} | {ahead} |"


if __name__ == "__main__":
    main()
