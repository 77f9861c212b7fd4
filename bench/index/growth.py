#!/usr/bin/env python3
"""How the index grows: cost of a query, of a build and of memory against the number of rows.

Builds and searches sets of one distribution (sift128-10k, -100k, -1m) with
bench_graph, one thread on one processor, fits cost = a * rows^b and writes
docs/benchmarks/growth.svg and the table between the marks in docs/benchmarks.md.
Standard library only.

usage: growth.py --home DIR --graph BENCH_GRAPH [--sets a,b,c] [--recall 0.99]
"""
import argparse
import json
import math
import os
import pathlib
import statistics
import subprocess

import data
from bench import machine

ROOT = pathlib.Path(__file__).resolve().parents[2]
BEGIN, END = "<!-- bench-growth: begin -->", "<!-- bench-growth: end -->"
PANELS = [("query", "a query, µs"), ("build", "building all, s"), ("memory", "memory, MiB")]
WIDTH, HEIGHT, LEFT, TOP, BOTTOM, GAP = 250, 210, 56, 34, 44, 26


def measure(args, name):
    """One point: rows, and a cost for each panel."""
    cpu = str(max(os.sched_getaffinity(0)))
    out = subprocess.run(["taskset", "-c", cpu, args.graph, os.path.join(args.home, "data", name),
                          "-t", "1", "-g", str(args.recall), "-s", "1", "-r", "3"],
                         stdout=subprocess.PIPE, text=True, check=True).stdout
    found = {f["what"]: f for f in map(json.loads, out.splitlines()) if f["what"] != "search"}
    rows = found["build"]["rows"]
    return {"set": name, "rows": rows, "recall": found["goal"]["recall"],
            "query": 1e6 / found["goal"]["qps"], "build": rows / found["build"]["rate"],
            "memory": rows * found["build"]["section_bytes_per_vector"] / 2**20}


def exponent(points, cost):
    """The slope of log(cost) over log(rows), by least squares."""
    x = [math.log(p["rows"]) for p in points]
    y = [math.log(p[cost]) for p in points]
    mx, my = statistics.mean(x), statistics.mean(y)
    return sum((a - mx) * (b - my) for a, b in zip(x, y)) / sum((a - mx) ** 2 for a in x)


def decades(values):
    low = math.floor(math.log10(min(values)) + 1e-9)
    return low, max(low + 1, math.ceil(math.log10(max(values)) - 1e-9))


def panel(points, cost, title, left):
    """One diagram on logarithmic axes, as SVG elements."""
    x0, x1 = decades([p["rows"] for p in points])
    y0, y1 = decades([p[cost] for p in points])

    def place(rows, value):
        return (left + LEFT + (math.log10(rows) - x0) / (x1 - x0) * WIDTH,
                TOP + HEIGHT - (math.log10(value) - y0) / (y1 - y0) * HEIGHT)
    parts = [f'<text x="{left + LEFT}" y="{TOP - 12}" class="title">{title}: '
             f'rows^{exponent(points, cost):.2f}</text>']
    for decade in range(x0, x1 + 1):
        x, y = place(10.0 ** decade, 10.0 ** y0)
        parts.append(f'<line x1="{x:.1f}" y1="{TOP}" x2="{x:.1f}" y2="{y:.1f}" class="grid"/>'
                     f'<text x="{x:.1f}" y="{y + 18:.1f}" text-anchor="middle">{10 ** decade:,}</text>')
    for decade in range(y0, y1 + 1):
        x, y = place(10.0 ** x0, 10.0 ** decade)
        parts.append(f'<line x1="{x:.1f}" y1="{y:.1f}" x2="{x + WIDTH:.1f}" y2="{y:.1f}" class="grid"/>'
                     f'<text x="{x - 6:.1f}" y="{y + 4:.1f}" text-anchor="end">{10.0 ** decade:,g}</text>')
    places = [place(p["rows"], p[cost]) for p in points]
    parts.append('<polyline class="curve" points="' +
                 " ".join(f"{x:.1f},{y:.1f}" for x, y in places) + '"/>')
    parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4"><title>{p["rows"]:,} rows: {p[cost]:,.3g}'
              f'</title></circle>' for (x, y), p in zip(places, points)]
    return parts


def draw(points):
    step = LEFT + WIDTH + GAP
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {step * len(PANELS)} '
             f'{TOP + HEIGHT + BOTTOM}" role="img" aria-label="Cost against the number of rows">',
             "<style>text{font:12px sans-serif;fill:#444}.title{font-weight:bold;fill:#222}"
             ".grid{stroke:#ddd}.curve{fill:none;stroke:#b5651d;stroke-width:2}"
             "circle{fill:#b5651d}</style>",
             '<rect width="100%" height="100%" fill="#fff"/>']
    for i, (cost, title) in enumerate(PANELS):
        parts += panel(points, cost, title, i * step)
    return "\n".join(parts + ["</svg>"]) + "\n"


def table(args, points):
    lines = [f"Measured by `make bench-growth`: one thread, ten neighbours, recall asked "
             f"{args.recall}; codes and links in memory, vectors beside them. Machine: {machine()}.",
             "", "| set | rows | a query, µs | recall reached | building all, s | codes and links, MiB |",
             "|---|---|---|---|---|---|"]
    lines += [f"| {p['set']} | {p['rows']:,} | {p['query']:.1f} | {p['recall']:.4f} | "
              f"{p['build']:,.1f} | {p['memory']:,.1f} |" for p in points]
    lines.append("| *cost = a · rows^b, b* | | " + " | ".join(
        f"**{exponent(points, cost):.2f}**" + (" | " if cost == "query" else "")
        for cost, _ in PANELS) + " |")
    return "\n".join(lines + ["", "![Cost against the number of rows](benchmarks/growth.svg)"])


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--home", required=True)
    parser.add_argument("--graph", required=True)
    parser.add_argument("--sets", default="sift128-10k,sift128-100k,sift128-1m")
    parser.add_argument("--recall", type=float, default=0.99)
    args = parser.parse_args()
    points = []
    for name in args.sets.split(","):
        if not data.make(os.path.join(args.home, "data"), name):
            raise SystemExit(f"bench-growth: {name} cannot be made")
        points.append(measure(args, name))
        print(json.dumps(points[-1]), flush=True)
    svg = ROOT / "docs" / "benchmarks" / "growth.svg"
    svg.parent.mkdir(exist_ok=True)
    svg.write_text(draw(points), encoding="utf-8")
    page = ROOT / "docs" / "benchmarks.md"
    head, rest = page.read_text(encoding="utf-8").split(BEGIN)
    page.write_text(f"{head}{BEGIN}\n{table(args, points)}\n{END}{rest.split(END)[1]}",
                    encoding="utf-8")


if __name__ == "__main__":
    main()
