#!/usr/bin/env python3
"""Real text out of Debian's documentation packages, as plain .txt files.

Downloads the packages by name (apt-get download; nothing is installed), unpacks
them in a temporary directory, drops markup, repeated files and other languages
than English, and writes pieces of at most 400 KB.  The one-line descriptions
of all packages that apt knows follow.

usage: gen_text.py OUTDIR [PACKAGE ...]
"""
import gzip
import hashlib
import html
import os
import re
import subprocess
import sys
import tempfile

PACKAGES = """dict-gcide dict-wn dict-foldoc dict-jargon debian-reference-en
    developers-reference debian-policy linux-doc-6.1 python3.11-doc libboost1.74-doc
    postgresql-doc-15 cmake-doc sqlite3-doc llvm-14-doc apache2-doc perl-doc python-django-doc
    python-sqlalchemy-doc erlang-doc octave-doc maxima-doc manpages manpages-dev git-doc vim-doc
    libreoffice-help-en-us nodejs-doc postgis-doc""".split()
PLAIN = (".txt", ".rst", ".md", ".pod", ".text", ".jl", ".tex", ".c", ".h", ".dict")
MARKUP = (".html", ".htm", ".xhtml")
MANUAL = re.compile(r"\.[1-8][a-z]*$")
PIECE = 400_000
WORDS_MIN = 15_000_000
FOREIGN = re.compile(r"[./_-](ja|fr|de|es|ko|tr|da|it|pt|pt-br|pt_BR|ru|zh|zh-cn|zh_CN|zh_TW|pl|nl|cs)"
                     r"([./]|$)")
HIDDEN = re.compile(r"(?is)<(script|style|nav)\b.*?</\1\s*>|<!--.*?-->|<[^<>]*>")


def text_of(path):
    """The text of one file, or None where it is none."""
    name = path.removesuffix(".gz").removesuffix(".dz")
    manual = MANUAL.search(name) is not None and "/man/" in name
    if FOREIGN.search(name) or not (manual or name.endswith(PLAIN + MARKUP)):
        return None
    opened = gzip.open if name != path else open
    try:
        with opened(path, "rb") as f:
            raw = f.read(32 << 20).decode("utf-8", "replace")
    except OSError:
        return None
    if name.endswith(MARKUP):
        raw = html.unescape(HIDDEN.sub(" ", raw))
    elif manual:
        raw = re.sub(r"(?m)^['.].{0,3}\s?|\\f.|\\", "", raw)
    return raw


class Writer:
    """Pieces of at most PIECE bytes, cut at white space."""

    def __init__(self, outdir):
        self.outdir, self.total = outdir, 0
        os.makedirs(outdir, exist_ok=True)

    def write(self, name, text):
        words = text.split()
        piece, size, number = [], 0, 0
        for word in words:
            piece.append(word)
            size += len(word.encode("utf-8")) + 1
            if size > PIECE - 1000:
                self.put(f"{name}-{number}.txt", piece)
                piece, size, number = [], 0, number + 1
        self.put(f"{name}-{number}.txt", piece)
        self.total += len(words)

    def put(self, name, words):
        with open(os.path.join(self.outdir, name), "w", encoding="utf-8") as f:
            f.write(" ".join(words) + "\n")


def unpacked(package, where):
    """Download and unpack a package; False where it cannot be had."""
    got = subprocess.run(["apt-get", "download", "-q", package], cwd=where, check=False,
                         stdin=subprocess.DEVNULL, capture_output=True, text=True)
    debs = [n for n in os.listdir(where) if n.endswith(".deb")]
    if got.returncode != 0 or not debs:
        print(f"gen_text: {package} left out: {got.stderr.strip()[-200:]}", file=sys.stderr)
        return False
    subprocess.run(["dpkg-deb", "-x", debs[0], "tree"], cwd=where, check=True)
    return True


def main():
    writer, seen = Writer(sys.argv[1]), set()
    for package in sys.argv[2:] or PACKAGES:
        before = writer.total
        with tempfile.TemporaryDirectory() as where:
            os.chmod(where, 0o755)  # apt drops its privileges
            if not unpacked(package, where):
                continue
            number = 0
            for root, folders, files in os.walk(os.path.join(where, "tree")):
                folders.sort()
                for name in sorted(files):
                    path = os.path.join(root, name)
                    text = None if os.path.islink(path) else text_of(path)
                    if not text or len(text) < 2000:
                        continue
                    digest = hashlib.blake2b(text.encode("utf-8", "replace")).digest()
                    if digest not in seen:
                        seen.add(digest)
                        writer.write(f"{package}-{number}", text)
                        number += 1
        print(f"{package}: {writer.total - before:,} words", flush=True)
    known = subprocess.run(["apt-cache", "dumpavail"], check=True, capture_output=True).stdout
    lines = {": ".join(m) for m in re.findall(r"(?m)^Package: (.*)\n(?:[^\n]+\n)*?Description: (.*)\n",
                                               known.decode("utf-8", "replace"))}
    writer.write("descriptions", "\n".join(sorted(lines)))
    print(f"{writer.total:,} words in all", flush=True)
    if len(sys.argv) == 2 and writer.total < WORDS_MIN:
        sys.exit(f"gen_text: at least {WORDS_MIN:,} words were expected; is apt's list of packages "
                 "there (apt-get update)?")


if __name__ == "__main__":
    main()
