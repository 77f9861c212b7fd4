#!/usr/bin/env python3
"""Vectors of real text by latent semantic analysis (numpy only).

Cuts the .txt files below TEXTDIR into chunks of 60 words, weighs the most
common terms by log tf * idf, projects on the leading eigenvectors of their
covariance and normalises: documents with vectors whose neighbours mean
something.  Writes NAME-200k, NAME-100k (its first half) and so on for each SIZE,
with ground truth, and the chunks beside them as NAME-SIZE.docs.jsonl.

usage: gen_lsa.py OUTDIR NAME DIM TEXTDIR SIZE [SIZE ...]     sizes in thousands
"""
import json
import os
import re
import sys
from collections import Counter

import numpy as np

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "load"))
from vecio import save_set  # noqa: E402

QUERIES, VOCABULARY, WORDS, BLOCK = 1000, 4096, 60, 10_000
TOKEN = re.compile(r"[a-z]{3,20}")


def chunks(folder, want):
    """Chunks of files taken in a fixed random order: (text, tokens)."""
    files = sorted(os.path.join(root, f) for root, _, names in os.walk(folder)
                   for f in names if f.endswith(".txt"))
    found, seen = [], set()
    for i in np.random.default_rng(7).permutation(len(files)):
        with open(files[i], encoding="utf-8", errors="ignore") as f:
            words = f.read().split()
        for s in range(0, len(words) - 20, WORDS):
            text = " ".join(words[s:s + WORDS])
            tokens = TOKEN.findall(text.lower())
            if len(text) > 1200 or text[:80] in seen or len(set(tokens)) < 12:
                continue
            seen.add(text[:80])
            found.append((text, tokens))
        if len(found) >= want:
            return found[:want]
    sys.exit(f"gen_lsa: {len(found):,} chunks below {folder}, {want:,} wanted: more text is needed")


class Terms:
    """The vocabulary, and the rows of weights of some chunks."""

    def __init__(self, found):
        self.found = found
        df = Counter()
        for _, tokens in found:
            df.update(set(tokens))
        common = sorted(df.items(), key=lambda kv: (-kv[1], kv[0]))[30:30 + VOCABULARY]
        self.index = {w: i for i, (w, _) in enumerate(common)}
        self.idf = np.array([np.log(len(found) / n) for _, n in common], np.float32)

    def block(self, start, count):
        a = np.zeros((count, len(self.index)), np.float32)
        for i in range(count):
            for w, n in Counter(self.found[start + i][1]).items():
                j = self.index.get(w)
                if j is not None:
                    a[i, j] = 1.0 + np.log(n)
        a *= self.idf
        return a / np.maximum(np.linalg.norm(a, axis=1, keepdims=True), 1e-9)


def vectors(found, dim):
    terms = Terms(found)
    cov = np.zeros((len(terms.index),) * 2, np.float32)
    for s in range(0, min(len(found), 60_000), BLOCK):
        a = terms.block(s, min(BLOCK, len(found) - s))
        cov += a.T @ a
    w, v = np.linalg.eigh(cov)
    v = v[:, ::-1][:, :dim].astype(np.float32)
    # Damp the leading directions a little, as learned embeddings do.
    damp = (np.maximum(w[::-1][:dim], 1e-9) ** -0.15).astype(np.float32)
    x = np.empty((len(found), dim), np.float32)
    for s in range(0, len(found), BLOCK):
        m = min(BLOCK, len(found) - s)
        x[s:s + m] = (terms.block(s, m) @ v) * damp
    x += 1e-6 * np.random.default_rng(9).standard_normal(x.shape, dtype=np.float32)
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def main():
    outdir, name, dim, folder = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4]
    sizes = sorted((int(s) for s in sys.argv[5:]), reverse=True)
    found = chunks(folder, sizes[0] * 1000 + QUERIES)
    order = np.random.default_rng(8).permutation(len(found))
    found = [found[i] for i in order]
    x = vectors(found, dim)
    for size in sizes:
        n, this = size * 1000, f"{name}-{size}k"
        with open(os.path.join(outdir, this + ".docs.jsonl"), "w", encoding="utf-8") as f:
            for text, _ in found[QUERIES:QUERIES + n]:
                f.write(json.dumps(text) + "\n")
        save_set(outdir, this, x[QUERIES:QUERIES + n], x[:QUERIES], "cos")


if __name__ == "__main__":
    main()
