"""What a chatbot is answered, on public questions: two tables.

1. Answer or not: questions of the knowledge base's own users, in full and as short as a chat turn, against foreign ones
   (banking77, and clinc150's that are out of scope): how well the confidence tells them apart, and how many of each get an
   answer at the default settings. On three knowledge bases, so that nothing is chosen for one.
2. Passage: of technical questions with the sentences that answer them, how often the first passage shown shares at least
   half of its words with one of these, and how often half of such a sentence is shown.

Set TRIAGE_DATA to a folder with support_kb/, known_errors/, technotes/, banking77/ and clinc150/, and build the program first:

    cargo build --release && TRIAGE_DATA=… python benches/peers/answers.py
"""

import argparse
import gzip
import json
import os
import pathlib
import random
import re
import subprocess
import sys
import tempfile

PROGRAM = pathlib.Path(__file__).resolve().parents[2] / "target/release/triage"
FOREIGN = 3_000
ASKED = 800


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--triage", type=pathlib.Path, default=PROGRAM, help="the program")
    parser.add_argument("--encoder", type=lambda folder: ["--encoder", f"minilm:{folder}"], default=[], metavar="DIR")
    arguments = parser.parse_args()
    data = pathlib.Path(os.environ.get("TRIAGE_DATA") or sys.exit("set TRIAGE_DATA to the folder with the public sets"))
    desk = Desk(arguments.triage, data, arguments.encoder)
    scope(desk)
    passages(desk)


class Desk:
    def __init__(self, program, data, encoder):
        self.program, self.data, self.encoder = program, data, encoder

    def read(self, name):
        with gzip.open(self.data / name, "rt") as lines:
            return [json.loads(line) for line in lines]

    def triage(self, *arguments):
        done = subprocess.run([self.program, *map(str, arguments), "--json"], capture_output=True, text=True)
        if done.returncode != 0:
            sys.exit(f"triage {' '.join(map(str, arguments))}: {done.stderr}")
        return done.stdout

    def base(self, folder, name):
        """A data directory with the articles of a set."""
        articles = [{key: row.get(key) for key in ("id", "title", "summary", "description", "text", "body", "products")}
                    for row in self.read(f"{name}/kb.jsonl.gz")]
        place = folder / name
        self.triage("kb", "import", rows(folder / f"{name}.jsonl", articles), "--data-dir", place, *self.encoder)
        return place

    def answers(self, folder, place, texts):
        questions = rows(folder / "questions.jsonl", [{"text": text} for text in texts])
        lines = self.triage("kb", "answer", "--input", questions, "--text", "text", "--data-dir", place)
        return [json.loads(line) for line in lines.splitlines()]


def rows(path, documents):
    with open(path, "w") as out:
        out.writelines(json.dumps(document) + "\n" for document in documents)
    return path


def scope(desk):
    chance = random.Random(1)
    banking = [row["text"] for row in desk.read("banking77/dev.jsonl.gz")]
    foreign = {
        "banking77": chance.sample(banking, FOREIGN),
        "clinc150 oos": [row["text"] for row in desk.read("clinc150/dev.jsonl.gz") if row["label"] == "oos"],
    }
    print("| articles | questions | AUROC banking77 / oos | answered: own | banking77 | oos |\n|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        for name in ("support_kb", "technotes", "known_errors"):
            place = desk.base(folder, name)
            others = {kind: desk.answers(folder, place, texts) for kind, texts in foreign.items()}
            for kind, texts in own_questions(desk, name).items():
                own = desk.answers(folder, place, texts)
                aurocs = " / ".join(f"{auroc(own, other):.3f}" for other in others.values())
                shares = " | ".join(f"{answered(replies):.1%}" for replies in (own, *others.values()))
                print(f"| {name} | {kind} | {aurocs} | {shares} |", flush=True)


def own_questions(desk, name):
    """In full, and as short as somebody types into a chat."""
    questions = desk.read(f"{name}/queries.jsonl.gz")
    if name == "support_kb":
        return {"title and body": [f"{row['title']}\n{row['body']}" for row in questions],
                "title": [row["title"] for row in questions]}
    texts = [row["text"] for row in random.Random(1).sample(questions, min(ASKED, len(questions)))]
    return {"in full": texts, "first 12 words": [" ".join(text.split()[:12]) for text in texts]}


def answered(replies):
    return sum(bool(reply["answers"]) for reply in replies) / len(replies)


def auroc(own, other):
    """The chance that an own question has more confidence than a foreign one."""
    ranked = sorted([(reply["confidence"], 1) for reply in own] + [(reply["confidence"], 0) for reply in other])
    places = {}
    for place, (confidence, _) in enumerate(ranked):
        places.setdefault(confidence, []).append(place)
    mean = {confidence: sum(all_of) / len(all_of) for confidence, all_of in places.items()}
    total = sum(mean[confidence] for confidence, is_own in ranked if is_own)
    return (total - len(own) * (len(own) - 1) / 2) / (len(own) * len(other))


def passages(desk):
    questions = desk.read("technotes/queries.jsonl.gz")
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        replies = desk.answers(folder, desk.base(folder, "technotes"), [row["text"] for row in questions])
    right = of_passage = of_sentence = shown = length = 0
    for row, reply in zip(questions, replies):
        if not reply["answers"]:
            continue
        shown += 1
        first = reply["answers"][0]
        right += first["article"] in listed(row["relevant"])
        passage = words(first["passage"])
        length += len(first["passage"].split())
        shared = [(len(passage & words(sentence)), len(words(sentence))) for sentence in row["answer_sentences"]]
        of_passage += any(both >= len(passage) / 2 for both, _ in shared)
        of_sentence += any(both >= every / 2 for both, every in shared)
    count = len(questions)
    print("\n| technotes questions | answered | right article | half of the passage answers | half of the answer is shown "
          "| words |\n|---|---|---|---|---|---|")
    print(f"| {count} | {shown / count:.0%} | {right / count:.0%} | {of_passage / count:.1%} | {of_sentence / count:.1%} "
          f"| {length / max(shown, 1):.0f} |")


def listed(value):
    return value if isinstance(value, list) else [value]


def words(text):
    return set(re.findall(r"\w+", text.lower()))


if __name__ == "__main__":
    main()
