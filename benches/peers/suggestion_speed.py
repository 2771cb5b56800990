"""What a suggestion costs with 100,000 articles and 300,000 confirmed tickets, beside bm25s on the same articles.

Set TRIAGE_DATA to a folder with support_kb/ and known_errors/ (kb.jsonl.gz, queries.jsonl.gz) and build the program first:

    cargo build --release && TRIAGE_DATA=… python benches/peers/suggestion_speed.py

The real support articles stand among articles mixed of known errors, each of the first half of one and the second half of
another. The tickets are mixed the same way of the questions of four folds in five; asked are those of the fifth that have
100 words, cut there. `triage` uses the memory, bm25s cannot; both answer with the ids of ten articles. Compared are
processor seconds of the whole process, less the fewest that asking one question took.
"""

import argparse
import json
import os
import pathlib
import resource
import sys
import tempfile
import time

from suggestions import Bm25, fold_of, ids, read, text_of, triage, write

WORDS = 100


def mixed(texts, number):
    """The first half of one text and the second half of another, as words."""
    first = texts[number % len(texts)]
    second = texts[(number // len(texts) * 7 + number * 13 + 5) % len(texts)]
    return first[: (len(first) + 1) // 2] + second[len(second) // 2 :]


def articles(data, count):
    real = read(data / "support_kb/kb.jsonl.gz")
    known_errors = read(data / "known_errors/kb.jsonl.gz")
    titles = [article["title"].split() for article in known_errors]
    bodies = [f"{article['description']} {article['body']}".split()[:600] for article in known_errors]
    for number in range(count - len(real)):
        body = " ".join(mixed(bodies, number))
        real.append({"id": f"mixed-{number}", "title": " ".join(mixed(titles, number)), "summary": "", "text": body})
    return real


def tickets(questions, count):
    words = [text_of(question).split()[:200] for question in questions]
    for number in range(count):
        text = " ".join(mixed(words, number))
        yield {"id": f"T{number}", "text": f"{text} case{number}", "articles": questions[number % len(questions)]["articles"]}


def children_seconds():
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--articles", type=int, default=100_000)
    parser.add_argument("--tickets", type=int, default=300_000)
    parser.add_argument("--rounds", type=int, default=5, help="how often all questions are asked")
    parser.add_argument("--keep", type=pathlib.Path, help="folder to keep what was made in, and to take it from")
    args = parser.parse_args()
    if "TRIAGE_DATA" not in os.environ:
        sys.exit("TRIAGE_DATA is not set: it names the folder with the questions and articles to measure with")
    data = pathlib.Path(os.environ["TRIAGE_DATA"])
    with tempfile.TemporaryDirectory() as folder:
        measure(data, args.keep or pathlib.Path(folder), args)


def measure(data, folder, args):
    questions = read(data / "support_kb/queries.jsonl.gz")
    remembered = [question for question in questions if fold_of(question) != 0]
    asked = [question for question in questions if fold_of(question) == 0 and len(text_of(question).split()) >= WORDS]
    for question in asked:
        kept = text_of(question)
        question["asked"] = " ".join(kept.split()[:WORDS])
    base = articles(data, args.articles)
    if not (folder / "data").exists():
        folder.mkdir(exist_ok=True)
        rows = write(folder / "kb.jsonl", base)
        print(json.dumps(triage("kb", "import", rows, "--data-dir", folder / "data")))
        rows = write(folder / "memory.jsonl", tickets(remembered, args.tickets))
        print(json.dumps(triage("memory", "import", rows, "--text", "text", "--articles", "articles", "--data-dir", folder / "data")))
    once = [{"id": f"Q{number}", "text": question["asked"], "articles": question["articles"]} for number, question in enumerate(asked)]
    nothing = write(folder / "nothing.jsonl", once[:1])
    many = write(folder / "asked.jsonl", once * args.rounds)

    def evaluate(queries):
        before = children_seconds()
        report = triage("kb", "eval", "--data-dir", folder / "data", "--queries", queries, "--text", "text", "--relevant", "articles")
        return report, children_seconds() - before

    start = min(evaluate(nothing)[1] for _ in range(5))
    report, seconds = evaluate(many)
    count = report["queries"]
    ours = count / (seconds - start)
    latency = report["latency_ms"]
    print(f"triage: {count} questions, MRR {report['mrr_at_10']:.3f}, p50 {latency['p50']:.2f} ms, p99 {latency['p99']:.2f} ms, {ours:.0f} a processor second (start {start:.1f} s)")

    peer = Bm25(base, ["summary", "text"])
    texts, relevant = [row["text"] for row in once], [ids(row["articles"]) for row in once]
    peer.report(texts[:10], relevant[:10])
    before = time.process_time()
    for _ in range(args.rounds):
        of_peer = peer.report(texts, relevant)
    theirs = len(texts) * args.rounds / (time.process_time() - before)
    print(f"bm25s: MRR {of_peer['mrr_at_10']:.3f}, {theirs:.0f} a processor second; triage answers {ours / theirs:.1f} times as many")


if __name__ == "__main__":
    main()
