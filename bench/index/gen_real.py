#!/usr/bin/env python3
"""Real data sets from files a public repository ships (give the raw files).

usage: gen_real.py OUTDIR mnist  t10k-images-idx3-ubyte.gz
       gen_real.py OUTDIR sift   sift-dataset-5k.tsv
"""
import gzip
import os
import sys
import numpy as np

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "load"))
from vecio import save_set  # noqa: E402


def split(x, nq, seed=5):
    p = np.random.default_rng(seed).permutation(len(x))
    q = np.sort(p[:nq])
    m = np.ones(len(x), bool)
    m[q] = False
    return x[m], x[q]


if __name__ == "__main__":
    out, kind = sys.argv[1:3]
    if kind == "mnist":
        raw = gzip.open(sys.argv[3]).read()
        x = np.frombuffer(raw, np.uint8, offset=16).reshape(-1, 784).astype(np.float32)
        save_set(out, "mnist784-9k", *split(x, 1000), "l2")
    elif kind == "sift":
        x = np.loadtxt(sys.argv[3], dtype=np.float32)[:, :128]
        save_set(out, "sift128-4k", *split(x, 500), "l2")
