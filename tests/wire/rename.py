#!/usr/bin/env python3
"""Say the recorded exchanges again, in other words and at another scale.

    rename.py transcripts.jsonl > renamed.jsonl

A server that knew a recording by heart would pass transcripts.jsonl and fail
here: every tenant, database, collection, id, document, uri, metadata key and
metadata text is replaced, vectors and metadata numbers are scaled, and the
expected answers are changed accordingly:

  names       get a prefix, and each letter moves up by one (z stays): this
              keeps validity and byte order, so sorted lists stay sorted
  texts       letters rotate by 7 within their case, digits by 3: this keeps
              equality, substrings, case folding of ASCII and character classes,
              so every filter selects the corresponding records
  patterns    the same for what a regular expression says literally
  vectors     times 2, an exact operation on floats; squared L2 grows by 4,
              1 - dot becomes 1 - 4 dot, cosine stays
  numbers     in metadata and in filters times 3, when small

What stays as it is: words of the protocol, names and bodies that are recorded
because they are refused, and bodies that are not JSON.  A transcript with
components near the ends of the float range is renamed but not scaled.

The result was checked against the reference server, which passes it.
Standard library only.
"""
import base64
import copy
import json
import re
import string
import struct
import sys
import urllib.parse

from replay import generated_body

VECTOR_SCALE = 2.0
NUMBER_SCALE = 3
NUMBER_MAX = 1e6  # larger ones are recorded for their size

NAME_RE = re.compile(r"^[A-Za-z0-9](?:[A-Za-z0-9._-]|\{run\})*(?:[A-Za-z0-9]|\{run\})$")
IPV4_RE = re.compile(r"^\d+\.\d+\.\d+\.\d+$")
UUID_RE = re.compile(r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$", re.I)
SLOT_RE = re.compile(r"(\{run\}|\{collection_id:[^{}]+\}|<[a-z]+>)")
UNKNOWN_ID = "00000000-0000-0000-0000-000000000000"
OTHER_UNKNOWN_ID = "5f0c2a51-9b1e-4c57-8d43-6a7e19c2d0b8"
RESERVED_NAMES = {"default_tenant", "default_database", "by-id"}
# Keys whose values are words of the protocol or checked for their form.
PROTOCOL_KEYS = {"include", "read_level", "embedding_function", "cmek", "space", "type", "error",
                 "message", "id", "resource_name", "user_id", "select", "function_id"}


def rotate(alphabet, by):
    return str.maketrans(alphabet, alphabet[by:] + alphabet[:by])


def move_up(alphabet):
    return str.maketrans(alphabet, alphabet[1:] + alphabet[-1])


TEXT = {**rotate(string.ascii_lowercase, 7), **rotate(string.ascii_uppercase, 7),
        **rotate(string.digits, 3)}
NAME = {**move_up(string.ascii_lowercase), **move_up(string.ascii_uppercase)}


def outside_slots(text, change):
    """Apply `change` to the parts of `text` that are not placeholders."""
    parts = SLOT_RE.split(text)
    return "".join(p if i % 2 else change(p) for i, p in enumerate(parts))


def new_text(text):
    return outside_slots(text, lambda t: t.translate(TEXT))


def new_name(name):
    if name in RESERVED_NAMES or UUID_RE.match(name) or "{collection_id" in name:
        return name
    if not NAME_RE.match(name) or IPV4_RE.match(name) or ".." in name or len(name) < 3:
        return name  # recorded because it is refused
    moved = outside_slots(name, lambda t: t.translate(NAME))
    return moved if len(name) > 500 else "n" + moved


def new_tenant(name):
    """Any text of three characters names a tenant."""
    if name in RESERVED_NAMES or len(name) < 3:
        return name
    return "n" + outside_slots(name, lambda t: t.translate(NAME))


def new_key(key):
    if key == "" or key[0] in "#$" or key.startswith(("chroma:", "hnsw:")):
        return key
    return new_text(key)


PATTERN_TOKEN = re.compile(
    r"\\p\{[^}]*\}|\\[A-Za-z0-9]|\\.|\[:\^?[a-z]+:\]|\(\?[a-zA-Z-]+[:)]|\{\d+,?\d*\}"
    r"|([A-Za-z0-9])-([A-Za-z0-9])|.", re.S)


def new_pattern(pattern):
    """Rotate what a pattern says literally; a range becomes the letters it stands for."""
    def one(m):
        token = m.group(0)
        if m.group(1):
            first, last = ord(m.group(1)), ord(m.group(2))
            if token in ("a-z", "A-Z", "0-9") or first > last:
                return token
            return "".join(chr(c) for c in range(first, last + 1)).translate(TEXT)
        return token.translate(TEXT) if len(token) == 1 else token
    return PATTERN_TOKEN.sub(one, pattern)


def new_number(value):
    if isinstance(value, bool) or abs(value) > NUMBER_MAX:
        return value
    return value * NUMBER_SCALE


class Renamer:
    """One transcript; remembers the metric of each of its collections."""

    def __init__(self, transcript):
        self.space = {}
        self.scale = VECTOR_SCALE
        for step in transcript["steps"]:
            if self.has_extreme_vector(step):
                self.scale = 1.0

    @staticmethod
    def has_extreme_vector(step):
        def extreme(v):
            if isinstance(v, list):
                return any(extreme(x) for x in v)
            return (isinstance(v, (int, float)) and not isinstance(v, bool)
                    and v != 0 and not 1e-30 < abs(v) < 1e30)
        body = step.get("body")
        if "body_raw" in step:
            try:
                body = json.loads(step["body_raw"])
            except ValueError:
                return False
        if not isinstance(body, dict):
            return False
        return extreme(body.get("embeddings")) or extreme(body.get("query_embeddings"))

    # Values ---------------------------------------------------------------

    def vectors(self, value):
        """Numbers at any depth, and base64 strings of packed floats."""
        if isinstance(value, list):
            return [self.vectors(v) for v in value]
        if isinstance(value, str):
            try:
                raw = base64.b64decode(value, validate=True)
            except ValueError:
                return value
            if len(raw) % 4 or base64.b64encode(raw).decode() != value:
                return value
            floats = struct.unpack(f"<{len(raw) // 4}f", raw)
            return base64.b64encode(
                struct.pack(f"<{len(floats)}f", *(f * self.scale for f in floats))).decode()
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            return value
        scaled = value * self.scale
        return int(scaled) if isinstance(value, int) else scaled

    def distances(self, value, space):
        if isinstance(value, list):
            return [self.distances(v, space) for v in value]
        if value is None or space == "cosine":
            return value
        square = self.scale * self.scale
        return value * square if space == "l2" else 1 - square * (1 - value)

    def texts(self, value):
        if isinstance(value, list):
            return [self.texts(v) for v in value]
        return new_text(value) if isinstance(value, str) else value

    def metadata(self, value):
        """A metadata object, or nested lists of them."""
        if isinstance(value, list):
            return [self.metadata(v) for v in value]
        if not isinstance(value, dict):
            return value
        return {new_key(k): v if k.startswith("hnsw:") else self.metadata_value(v)
                for k, v in value.items()}

    def metadata_value(self, value):
        if isinstance(value, list):
            return [self.metadata_value(v) for v in value]
        if isinstance(value, str):
            return new_text(value)
        if isinstance(value, (int, float)):
            return new_number(value)
        return value  # null, sparse vectors and what is refused

    def where(self, value):
        if isinstance(value, list):
            return [self.where(v) for v in value]
        if isinstance(value, dict):
            out = {}
            for k, v in value.items():
                if k in ("$regex", "$not_regex") and isinstance(v, str):
                    out[k] = new_pattern(v)
                else:
                    out[new_key(k)] = self.where(v)
            return out
        return self.metadata_value(value)

    def schema(self, value):
        if not isinstance(value, dict) or not isinstance(value.get("keys"), dict):
            return value
        out = dict(value)
        out["keys"] = {new_key(k): self.sources(v) for k, v in value["keys"].items()}
        return out

    def sources(self, value):
        if isinstance(value, dict):
            return {k: new_key(v) if k == "source_key" and isinstance(v, str) else self.sources(v)
                    for k, v in value.items()}
        return value

    # Requests -------------------------------------------------------------

    def body(self, body, kind):
        if not isinstance(body, dict):
            return body
        out = {}
        for key, value in body.items():
            if key == "name" and isinstance(value, str):
                value = new_tenant(value) if kind == "tenant" else new_name(value)
            elif key == "new_name" and isinstance(value, str):
                value = new_name(value)
            elif key in ("metadata", "new_metadata", "metadatas"):
                value = self.metadata(value)
            elif key in ("embeddings", "query_embeddings"):
                value = self.vectors(value)
            elif key in ("ids", "documents", "uris"):
                value = self.texts(value)
            elif key in ("where", "where_document"):
                value = self.where(value)
            elif key == "schema":
                value = self.schema(value)
            out[key] = value
        return out

    def path(self, path):
        path, mark, query = path.partition("?")
        parts = path.split("/")
        if parts[:4] != ["", "api", "v2", "tenants"]:
            return path + mark + query

        def change(index, rename):
            if len(parts) > index and "%ff" not in parts[index]:
                plain = urllib.parse.unquote(parts[index])
                if rename(plain) != plain:
                    quoted = urllib.parse.quote(rename(plain), safe="")
                    parts[index] = quoted.replace("%7Brun%7D", "{run}")

        change(4, new_tenant)
        if parts[5:6] == ["databases"]:
            change(6, new_name)
            if parts[7:8] == ["collections"]:
                if len(parts) == 9:
                    change(8, new_name)
                parts[8:] = [p.replace(UNKNOWN_ID, OTHER_UNKNOWN_ID) for p in parts[8:]]
        return "/".join(parts) + mark + query

    # Answers --------------------------------------------------------------

    def response(self, value, step):
        if isinstance(value, list):
            return [self.response(v, step) for v in value]
        if not isinstance(value, dict) or "error" in value or "<raw>" in value:
            return value
        is_tenant = "resource_name" in value
        if "configuration_json" in value:
            label = re.match(r"\{collection_id:(.*)\}$", value["id"])
            hnsw = value["configuration_json"].get("hnsw")
            if label and isinstance(hnsw, dict):
                self.space[label.group(1)] = hnsw["space"]
        out = {}
        for key, inner in value.items():
            if key == "name":
                inner = new_tenant(inner) if is_tenant else new_name(inner)
            elif key == "tenant":
                inner = new_tenant(inner)
            elif key in ("database", "databases"):
                inner = ([new_name(d) for d in inner] if isinstance(inner, list)
                         else new_name(inner))
            elif key in ("metadata", "metadatas"):
                inner = self.metadata(inner)
            elif key in ("ids", "documents", "uris"):
                inner = self.texts(inner)
            elif key == "embeddings":
                inner = self.vectors(inner)
            elif key == "distances":
                inner = self.distances(inner, self.space_of(step))
            elif key == "schema":
                inner = self.schema(inner)
            out[key] = inner
        return out

    def space_of(self, step):
        label = re.search(r"\{collection_id:([^{}]+)\}", step["path"])
        return self.space.get(label.group(1), "l2") if label else "l2"

    # Steps ----------------------------------------------------------------

    @staticmethod
    def kind(path):
        return "tenant" if path.rstrip("/").endswith("/api/v2/tenants") else "other"

    def step(self, step):
        out = copy.deepcopy(step)
        kind = self.kind(step["path"])
        out["path"] = self.path(step["path"])
        if "body_gen" in step and "records" in step["body_gen"]:
            del out["body_gen"]
            out["body"] = self.body(json.loads(generated_body(step["body_gen"])), kind)
        elif "body_raw" in step:
            if step["status"] < 400:
                out["body_raw"] = self.raw(step["body_raw"], kind)
        elif step.get("body") is not None:
            out["body"] = self.body(step["body"], kind)
        out["response"] = self.response(step["response"], step)
        return out

    def raw(self, text, kind):
        return json.dumps(self.body(json.loads(text), kind), ensure_ascii=False)


def rename(transcript):
    renamer = Renamer(transcript)
    return {**transcript, "steps": [renamer.step(s) for s in transcript["steps"]]}


def main():
    for name in sys.argv[1:]:
        with open(name, encoding="utf-8") as f:
            for line in f:
                if line.strip():
                    print(json.dumps(rename(json.loads(line)), ensure_ascii=False))
    return 0


if __name__ == "__main__":
    sys.exit(main())
