"""Whether `kb gaps` finds the articles that a knowledge base lacks, on public questions whose article is known.

Set TRIAGE_DATA to a folder with support_kb/ (kb.jsonl.gz and queries.jsonl.gz) and build the program first:

    cargo build --release && TRIAGE_DATA=… python benches/peers/gaps.py

A tenth of the articles is left out, chosen by a hash of id and seed. All questions are imported, and of the ten articles
left out that were linked most often those are counted that a cluster among the first twenty stands for:

- strictly: the article has the most links in the cluster, more than any other, and a third of its tickets or more;
- laxly: it has the most links in the cluster;
- listed: it has the most links among the three examples.

The memory is filled in four ways:

- all links: as the questions come, so that tickets name articles that the base does not hold;
- links to the base: without the links to what was left out, as where an answer had to be written by hand;
- half the links: the same, and of half of the other questions the link is not known either;
- no links: of no question.
"""

import argparse
import collections
import hashlib
import json
import os
import pathlib
import sys
import tempfile

from suggestions import ids, read, triage, write

FILLED = ["all links", "links to the base", "half the links", "no links"]
MOST_ASKED = 10


def part(text, parts):
    return int(hashlib.sha1(text.encode()).hexdigest(), 16) % parts


def left_out(articles, seed):
    return {article["id"] for article in articles if part(f"{seed} {article['id']}", 10) == 0}


def linked(question, filled, missing):
    known = ids(question["articles"])
    if filled == "all links":
        return sorted(known)
    if filled == "no links" or filled == "half the links" and part(question["id"], 2):
        return []
    return sorted(known - missing)


def most(links):
    """The article with most links, where no other has as many, and how many."""
    counts = collections.Counter(link for of_ticket in links for link in of_ticket).most_common(2)
    if not counts or len(counts) > 1 and counts[0][1] == counts[1][1]:
        return None, 0
    return counts[0]


def measure(articles, questions, seed, filled, top):
    missing = left_out(articles, seed)
    links = {question["id"]: ids(question["articles"]) for question in questions}
    asked = collections.Counter(link for of_question in links.values() for link in of_question if link in missing)
    wanted = sorted(missing, key=lambda article: (-asked[article], article))[:MOST_ASKED]
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        kept = write(folder / "kb.jsonl", [article for article in articles if article["id"] not in missing])
        tickets = write(folder / "tickets.jsonl", [{**question, "articles": linked(question, filled, missing)} for question in questions])
        triage("kb", "import", kept, "--data-dir", folder / "data")
        triage("memory", "import", tickets, "--text", "title,body", "--articles", "articles", "--data-dir", folder / "data")
        report = triage("kb", "gaps", "--top", top, "--data-dir", folder / "data")
    found = {"strictly": set(), "laxly": set(), "listed": set()}
    for cluster in report["clusters"]:
        article, count = most([links[ticket] for ticket in cluster["ticket_ids"]])
        if article in wanted:
            found["laxly"].add(article)
            if 3 * count >= len(cluster["ticket_ids"]):
                found["strictly"].add(article)
        article, _ = most([links[example["id"]] for example in cluster["examples"]])
        if article in wanted:
            found["listed"].add(article)
    return {name: len(articles) for name, articles in found.items()}, report["tickets"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2, 3, 4])
    parser.add_argument("--filled", nargs="+", choices=FILLED, default=FILLED)
    parser.add_argument("--top", type=int, default=20)
    args = parser.parse_args()
    if "TRIAGE_DATA" not in os.environ:
        sys.exit("TRIAGE_DATA is not set: it names the folder with the questions and articles to measure with")
    data = pathlib.Path(os.environ["TRIAGE_DATA"]) / "support_kb"
    articles, questions = read(data / "kb.jsonl.gz"), read(data / "queries.jsonl.gz")
    print(f"of the {MOST_ASKED} most asked missing articles, among the first {args.top} clusters; a figure a seed")
    for filled in args.filled:
        runs = [measure(articles, questions, seed, filled, args.top) for seed in args.seeds]
        for name in runs[0][0]:
            counts = [found[name] for found, _ in runs]
            print(f"{filled:18} {name:9} {counts}  mean {sum(counts) / len(counts):.1f}")
        print(f"{filled:18} unanswered {[tickets['unanswered'] for _, tickets in runs]} of {runs[0][1]['looked_at']}")


if __name__ == "__main__":
    main()
