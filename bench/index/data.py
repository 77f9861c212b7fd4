#!/usr/bin/env python3
"""The data sets, each made once below build/bench/data.

lsa384-*     real text out of Debian's documentation packages (gen_text.py), and
             its vectors by latent semantic analysis (gen_lsa.py)
minilm384-*  a sentence model's vectors of the same text (gen_minilm.py)
syn*, sift128-100k, sift128-1m
             synthetic, of low intrinsic dimension (bench/load/gen_synth.py)
mnist784-9k  handwritten digits (examples/digits)
sift128-4k   image descriptors; only where SIFT=FILE names a table of them, 128
             numbers first in each line

usage: data.py DATADIR SET ...
"""
import os
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]


def python(script, *arguments):
    subprocess.run(["nice", sys.executable, str(ROOT / "bench" / script), *map(str, arguments)],
                   check=True, stdout=sys.stderr)


def make(folder, name):
    """True when the set is there."""
    path = os.path.join(folder, name)
    if os.path.exists(path + ".metric"):
        return True
    print(f"making {name} (once)", file=sys.stderr)
    if name in ("lsa384-200k", "lsa384-100k"):
        text = os.path.join(folder, "text")
        if not os.path.exists(os.path.join(text, "complete")):
            python("index/gen_text.py", text)
            pathlib.Path(text, "complete").touch()
        python("index/gen_lsa.py", folder, "lsa384", 384, text, 200, 100)
    elif name == "minilm384-30k":
        make(folder, "lsa384-200k")
        python("index/gen_minilm.py", folder, name,
               os.path.join(folder, "lsa384-200k.docs.jsonl"), 30_000)
    elif name == "mnist784-9k":
        python("index/gen_real.py", folder, "mnist",
               ROOT / "examples/digits/t10k-images-idx3-ubyte.gz")
    elif name == "sift128-4k":
        if "SIFT" not in os.environ:
            return False
        python("index/gen_real.py", folder, "sift", os.environ["SIFT"])
    else:
        python("load/gen_synth.py", folder, name)
    return os.path.exists(path + ".metric")


if __name__ == "__main__":
    for wanted in sys.argv[2:]:
        if not make(sys.argv[1], wanted):
            print(f"data: {wanted} cannot be made here", file=sys.stderr)
