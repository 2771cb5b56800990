"""How right `triage` and scikit-learn are on the same rows, and what that costs."""

import argparse
import dataclasses
import json
import statistics
import tempfile
from pathlib import Path

import desk_sets
from contenders import EncodedSvm, LinearSvm, Outcome, Triage

PEER = LinearSvm()
# Macro-F1 is what counts there, so the peer gets what usually raises it.
BALANCED = LinearSvm(f"{PEER.name} balanced", cost=0.1, class_weight="balanced")
EXTRA_PEERS = {"endava_full5k": (BALANCED,)}
HEADER = (
    "| set | rows | contender | accuracy | macro-F1 | ECE | reached, coverage at .95 "
    "| train CPU s (one fit) | test CPU s |"
)


def main() -> None:
    names = [one.name for one in desk_sets.DESK_SETS]
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--triage", type=Path, default=Path("target/release/triage"), help="the program")
    parser.add_argument("--sets", nargs="+", choices=names, default=names, metavar="SET", help=" ".join(names))
    parser.add_argument("--seeds", nargs="+", type=int, default=[1], metavar="SEED", help="a split each, default 1")
    parser.add_argument(
        "--test-share", type=float, default=desk_sets.TEST_SHARE, metavar="SHARE",
        help=f"of the rows, default {desk_sets.TEST_SHARE}; the others are trained on",
    )
    parser.add_argument("--no-peers", action="store_true", help="only triage")
    parser.add_argument("--encoder", type=Path, metavar="DIR", help="folder of a sentence encoder to train with")
    parser.add_argument("--json", action="store_true", help="one JSON line a set and contender")
    arguments = parser.parse_args()
    triage = Triage(arguments.triage, arguments.encoder)
    encoded = (EncodedSvm(encoder=arguments.encoder),) if arguments.encoder else ()
    desk_sets.data_folder()

    if not arguments.json:
        print(HEADER)
        print("|---" * HEADER.count(" | ") + "|---|")
    for name in arguments.sets:
        desk_set = desk_sets.desk_set(name)
        rows = desk_set.read()
        peers = () if arguments.no_peers else (PEER, *EXTRA_PEERS.get(name, ()), *encoded)
        for contender in (triage, *peers):
            measured = []
            for seed in arguments.seeds:
                train, test = desk_set.split(seed, rows, arguments.test_share)
                with tempfile.TemporaryDirectory() as folder:
                    outcome = contender.compare(train, test, Path(folder))
                measured.append(outcome)
                if arguments.json:
                    about = {"set": name, "seed": seed, "train_rows": len(train), "test_rows": len(test)}
                    print(json.dumps(about | dataclasses.asdict(outcome)), flush=True)
            if not arguments.json:
                print(line(name, len(train), len(test), mean(list(map(dataclasses.asdict, measured)))), flush=True)


def mean(figures: list[dict]) -> dict:
    """The means of all figures; one that is missing in some of them is the mean of the others."""
    means = {}
    for key in figures[0]:
        values = [one[key] for one in figures if one[key] is not None]
        match values:
            case []:
                means[key] = None
            case [dict(), *_]:
                means[key] = mean(values)
            case [str(text), *_]:
                means[key] = text
            case _:
                means[key] = statistics.fmean(values)
    return means


def line(name: str, train_rows: int, test_rows: int, figures: dict) -> str:
    at_95 = figures["at_precision"]["0.95"]
    precision = "–" if at_95["precision"] is None else f"{at_95['precision']:.3f}"
    one_fit = "" if figures["fit_cpu_seconds"] is None else f" ({figures['fit_cpu_seconds']:.1f})"
    cells = [
        name,
        f"{train_rows} + {test_rows}",
        figures["contender"],
        f"{figures['accuracy']:.1%}",
        f"{figures['macro_f1']:.1%}",
        f"{figures['calibration_error']:.1%}",
        f"{precision}, {at_95['coverage']:.1%}",
        f"{figures['train_cpu_seconds']:.1f}{one_fit}",
        f"{figures['test_cpu_seconds']:.1f}",
    ]
    table_line = f"| {' | '.join(cells)} |"
    found = figures["out_of_scope"]
    if found is None:
        return table_line
    return (f"{table_line}\n| | | … out of scope ({found['rows']:.0f} rows) | recall {found['recall']:.1%} "
            f"| AUROC {found['auroc']:.3f} | | in scope rejected {found['in_scope_rejected']:.1%} | | |")


if __name__ == "__main__":
    main()
