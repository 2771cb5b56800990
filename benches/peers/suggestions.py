"""How well articles are suggested, beside BM25, on public questions whose article is known.

Set TRIAGE_DATA to a folder with support_kb/, known_errors/ and technotes/ (each with kb.jsonl.gz and queries.jsonl.gz)
and build the program first:

    cargo build --release && TRIAGE_DATA=… python benches/peers/suggestions.py

Thunderbird questions are asked in five folds by hash of their text, so that copies stay together: the memory holds the
questions of the other four, of both products (--memory both) or of Thunderbird alone (--memory thunderbird). In time
order, the memory holds the first 80 % of the Thunderbird questions and the last 20 % are asked. --encoder names the
folder of a sentence transformer that reads articles and questions beside.
"""

import argparse
import gzip
import hashlib
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

import bm25s

PROGRAM = pathlib.Path(__file__).resolve().parents[2] / "target/release/triage"
FOLDS = 5


def read(path):
    with gzip.open(path, "rt") as lines:
        return [json.loads(line) for line in lines]


def write(path, rows):
    with open(path, "w") as out:
        out.writelines(json.dumps(row) + "\n" for row in rows)
    return path


def triage(*arguments):
    done = subprocess.run([PROGRAM, *map(str, arguments), "--json"], capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"triage {' '.join(map(str, arguments))}: {done.stderr}")
    return json.loads(done.stdout)


def text_of(question):
    return question["title"] + "\n" + question["body"]


def fold_of(question):
    return int(hashlib.sha1(text_of(question).strip().lower().encode()).hexdigest(), 16) % FOLDS


class Scores:
    """Sums over runs of one system."""

    def __init__(self):
        self.queries = self.first = self.reciprocal = 0

    def add(self, report):
        count = report["queries"]
        self.queries += count
        self.first += count * report["hit_at"]["1"]
        self.reciprocal += count * report["mrr_at_10"]

    def line(self, name):
        count = max(self.queries, 1)
        return f"{name:58} {self.queries:5} {self.first / count:.3f} {self.reciprocal / count:.3f}"


class Bm25:
    """bm25s as its documentation shows it, the title three times."""

    def __init__(self, articles, parts):
        texts = [" ".join([article.get("title", "")] * 3 + [str(article.get(part, "")) for part in parts]) for article in articles]
        self.ids = [article["id"] for article in articles]
        self.index = bm25s.BM25()
        self.index.index(bm25s.tokenize(texts, stopwords="en", show_progress=False), show_progress=False)

    def report(self, texts, relevant):
        tokens = bm25s.tokenize(texts, stopwords="en", show_progress=False)
        found, _ = self.index.retrieve(tokens, k=10, show_progress=False)
        first = reciprocal = 0
        for places, right in zip(found, relevant):
            ranks = [rank for rank, place in enumerate(places, 1) if self.ids[place] in right]
            first += bool(ranks) and ranks[0] == 1
            reciprocal += 1 / ranks[0] if ranks else 0
        return {"queries": len(texts), "hit_at": {"1": first / len(texts)}, "mrr_at_10": reciprocal / len(texts)}


def ids(value):
    return set(value if isinstance(value, list) else value.keys() if isinstance(value, dict) else [value])


def questions(folder, data, rows, service, **columns):
    queries = write(folder / "asked.jsonl", rows)
    arguments = ["kb", "eval", "--data-dir", data, "--queries", queries]
    for name, value in columns.items():
        arguments += ["--" + name.replace("_", "-"), value]
    return triage(*arguments, *(["--service", "product"] if service else []))


def support(data, args):
    kb = data / "support_kb/kb.jsonl.gz"
    rows = read(data / "support_kb/queries.jsonl.gz")
    asked = [row for row in rows if row["product"] == "thunderbird"]
    peer = Bm25(read(kb), ["summary", "text"])
    scores = {}
    base = pathlib.Path(tempfile.mkdtemp())
    triage("kb", "import", kb, "--data-dir", base / "data", *args.encoder)

    def measure(name, tested, remembered):
        with tempfile.TemporaryDirectory() as folder:
            folder = pathlib.Path(folder)
            shutil.copytree(base / "data", folder / "data")
            if remembered:
                path = write(folder / "memory.jsonl", remembered)
                triage("memory", "import", path, "--text", "title,body", "--articles", "articles", "--service", "product", "--data-dir", folder / "data")
            for service in (False, True):
                report = questions(folder, folder / "data", tested, service, text="title,body", relevant="articles")
                scores.setdefault(name + (", product known" if service else ""), Scores()).add(report)
        texts = [text_of(row) for row in tested]
        scores.setdefault(f"bm25s, {name.split(', ')[-1]}", Scores()).add(peer.report(texts, [ids(row["articles"]) for row in tested]))

    pool = rows if args.memory == "both" else asked
    for fold in range(FOLDS):
        tested = [row for row in asked if fold_of(row) == fold]
        measure("with memory, five folds", tested, [row for row in pool if fold_of(row) != fold])
    measure("without memory, all at once", asked, [])
    order = sorted(asked, key=lambda row: int(row["id"].split("-")[1]))
    cut = len(order) * 8 // 10
    tested = order[cut:]
    copies = {text_of(row).strip().lower() for row in tested}
    known = order[:cut] + [row for row in pool if row["product"] != "thunderbird"]
    measure("with memory, time order", tested, [row for row in known if text_of(row).strip().lower() not in copies])
    shutil.rmtree(base)
    print(f"support_kb, thunderbird; memory of {args.memory}", f"{'asked':>26} hit@1 MRR@10", sep="  ")
    for name, of_name in scores.items():
        print(of_name.line(name))


def plain(data, name, parts, renames, encoder):
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        triage("kb", "import", data / name / "kb.jsonl.gz", "--data-dir", folder / "data", *(["--map", renames] if renames else []), *encoder)
        rows = read(data / name / "queries.jsonl.gz")
        scores, peer = Scores(), Scores()
        scores.add(questions(folder, folder / "data", rows, False, text="text", relevant="relevant", id="qid"))
        peer.add(Bm25(read(data / name / "kb.jsonl.gz"), parts).report([row["text"] for row in rows], [ids(row["relevant"]) for row in rows]))
    print(scores.line(name))
    print(peer.line(f"bm25s, {name}"))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--memory", choices=["both", "thunderbird"], default="both", help="whose questions are remembered")
    parser.add_argument("--sets", nargs="+", default=["support_kb", "known_errors", "technotes"])
    parser.add_argument("--encoder", type=lambda folder: ["--encoder", f"minilm:{folder}"], default=[], metavar="DIR")
    parser.add_argument("--triage", type=pathlib.Path, default=PROGRAM, help="the program to measure")
    args = parser.parse_args()
    globals()["PROGRAM"] = args.triage
    if "TRIAGE_DATA" not in os.environ:
        sys.exit("TRIAGE_DATA is not set: it names the folder with the questions and articles to measure with")
    data = pathlib.Path(os.environ["TRIAGE_DATA"])
    if "support_kb" in args.sets:
        support(data, args)
    if "known_errors" in args.sets:
        plain(data, "known_errors", ["description", "body"], "products=product", args.encoder)
    if "technotes" in args.sets:
        plain(data, "technotes", ["text"], None, args.encoder)


if __name__ == "__main__":
    main()
