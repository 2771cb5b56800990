"""Whether a precision that was asked for is really reached on rows that training never saw, over many resplits.

A resplit where training certifies no threshold promises nothing: it counts as met, with a coverage of 0. Test rows
are few, so some resplits fall short by chance alone; "clearly missed" are those that chance explains in less than
5 % of cases (a binomial test).
"""

import argparse
import json
import statistics
import tempfile
from pathlib import Path

from scipy.stats import binom

import desk_sets
from contenders import PRECISIONS, LinearSvm, Reached, Triage
from desk_sets import Row

SETS = ("banking77", "endava_topic8")
# endava_topic8 is larger; so many of its rows, chosen by hash, bound the time. More rows certify more closely.
MOST_ROWS = 12_000
# Any other number than the seeds of splits.
SAMPLE_SEED = 2_000_003


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--triage", type=Path, default=Path("target/release/triage"), help="the program")
    parser.add_argument("--sets", nargs="+", choices=SETS, default=SETS, metavar="SET", help=" ".join(SETS))
    parser.add_argument("--resplits", type=int, default=20, help="splits with the seeds 1, 2, …")
    parser.add_argument("--most-rows", type=int, default=MOST_ROWS, help=f"of a larger set, default {MOST_ROWS}")
    parser.add_argument("--no-peers", action="store_true", help="only triage")
    parser.add_argument("--json", action="store_true", help="one JSON line a set, contender and precision")
    arguments = parser.parse_args()
    contenders = [Triage(arguments.triage)] + ([] if arguments.no_peers else [LinearSvm()])
    desk_sets.data_folder()

    if not arguments.json:
        print("| set | rows | contender | asked | met | clearly missed | certified | median reached | lowest | median coverage |")
        print("|---|---|---|---|---|---|---|---|---|---|")
    for name in arguments.sets:
        rows = sample(desk_sets.desk_set(name).read(), arguments.most_rows)
        for contender in contenders:
            resplits = [resplit(contender, name, rows, seed) for seed in range(1, arguments.resplits + 1)]
            for asked in PRECISIONS:
                about = {"set": name, "rows": len(rows), "contender": contender.name, "asked": asked}
                figures = about | summary(resplits, asked)
                print(json.dumps(figures) if arguments.json else line(figures), flush=True)


def sample(rows: list[Row], at_most: int) -> list[Row]:
    if len(rows) <= at_most:
        return rows
    drawn = sorted(rows, key=lambda row: desk_sets.draw(row.text, SAMPLE_SEED))
    return drawn[:at_most]


def resplit(contender: Triage | LinearSvm, name: str, rows: list[Row], seed: int) -> tuple[int, dict[str, Reached]]:
    """How many rows were tested, and what each precision gives on them."""
    train, test = desk_sets.desk_set(name).split(seed, rows)
    with tempfile.TemporaryDirectory() as folder:
        return len(test), contender.compare(train, test, Path(folder)).at_precision


def summary(resplits: list[tuple[int, dict[str, Reached]]], asked: str) -> dict:
    reached = [at_precision[asked] for _, at_precision in resplits]
    precisions = [one.precision for one in reached if one.precision is not None]
    return {
        "resplits": len(reached),
        "met": sum(one.precision is None or one.precision >= float(asked) for one in reached),
        "clearly_missed": sum(is_clearly_missed(rows, one[asked], float(asked)) for rows, one in resplits),
        "certified": len(precisions),
        "median_reached": statistics.median(precisions) if precisions else None,
        "lowest_reached": min(precisions, default=None),
        "median_coverage": statistics.median(one.coverage for one in reached),
    }


def is_clearly_missed(rows: int, reached: Reached, asked: float) -> bool:
    if reached.precision is None:
        return False
    covered = round(rows * reached.coverage)
    return bool(binom.cdf(round(covered * reached.precision), covered, asked) < 0.05)


def line(figures: dict) -> str:
    percent = lambda value: "–" if value is None else f"{value:.1%}"
    cells = [
        figures["set"],
        str(figures["rows"]),
        figures["contender"],
        figures["asked"],
        f"{figures['met']} of {figures['resplits']}",
        str(figures["clearly_missed"]),
        str(figures["certified"]),
        percent(figures["median_reached"]),
        percent(figures["lowest_reached"]),
        percent(figures["median_coverage"]),
    ]
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    main()
