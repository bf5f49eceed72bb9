#!/usr/bin/env python3
"""Writes the figures of docs/performance/ into docs/performance.md, and the plot of growth beside them.

Generated parts stand between `<!-- begin NAME -->` and `<!-- end NAME -->`; all else in the page is written by hand. Each goal
that is not reached needs a line "- `figure`: why, and what would" in the page. Standard library only.
"""
import json, math, pathlib, re, sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "performance.md"
KEPT = ROOT / "docs" / "performance"
GROWING = {"plain": "no affinity", "anti-affinity-among-apart": "anti-affinity and spread, running pods with them too"}


def load(name):
    path = KEPT / f"{name}.json"
    return json.loads(path.read_text()) if path.exists() else None


def number(value):
    """Three digits that count, thousands apart; as `podberth-bench` prints them."""
    size = abs(value)
    decimals = 0 if size >= 100 else 1 if size >= 10 else 2 if size >= 1 else 3
    return f"{value:,.{decimals}f}"


def amount(figure):
    return f"{number(figure['value'])} {figure['unit']}" if figure else ""


def by_name(report):
    return {figure["name"]: figure for figure in report["figures"]} if report else {}


def table(header, rows):
    lines = ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows])


def machine(reports):
    lines = []
    for report in filter(None, reports):
        of = report["machine"]
        commit = f", commit {report['commit'][:12]}" if report["commit"] else ""
        lines.append(f"{report['engine']}: {report['begun']}{commit}, {of['processor']}, {of['cores']} cores, "
                     f"{of['memory']}, Linux {of['kernel']}; {report['nodes']:,} nodes, {report['pods']:,} pods.")
        lines += [f"**{failed['name']} came to no end: {failed['why']}**" for failed in report["failed"]]
    return "\n\n".join(lines)


def goals(postgres, sqlite):
    """Every figure that has a goal, on both databases."""
    rows, missed = [], []
    for name in list(dict.fromkeys([*postgres, *sqlite])):
        both = [postgres.get(name), sqlite.get(name)]
        some = next(filter(None, both))
        if not any(figure and "goal" in figure for figure in both):
            continue
        reached = []
        for figure in both:
            if not figure or "goal" not in figure:
                reached.append("")
                continue
            ratio = figure["goal"]["ratio"]
            reached.append(f"{amount(figure)}, {'**not** ' if ratio < 1 else ''}reached: {number(ratio)} ×")
            if ratio < 1 and name not in missed:
                missed.append(name)
        bound = "≥" if some["moreIsBetter"] else "≤"
        values = [f"{bound} {number(f['goal']['value'])}" for f in both if f and "goal" in f]
        goal = " / ".join(dict.fromkeys(values)) + f" {some['unit']}"
        others = next((f["others"] for f in both if f and "others" in f), None)
        against = f"{number(others['ratio'])} × {others['who']} ({number(others['value'])})" if others else ""
        rows.append([f"`{name}`", some["what"], goal, *reached, against])
    return table(["figure", "what", "goal", "PostgreSQL", "SQLite", "against"], rows), missed


def plain(figures, other, prefixes):
    """Figures whose names begin so, on both databases where there are two."""
    chosen = [figure for name, figure in figures.items() if name.startswith(prefixes)]
    rows = []
    for figure in chosen:
        others = figure.get("others")
        against = f"{number(others['ratio'])} × {others['who']} ({number(others['value'])})" if others else ""
        row = [f"`{figure['name']}`", figure["what"], amount(figure)]
        rows.append(row + ([amount(other.get(figure["name"]))] if other else []) + [against, figure.get("note", "")])
    header = ["figure", "what"] + (["PostgreSQL", "SQLite"] if other else ["measured"]) + ["against", ""]
    return table(header, rows)


def plot(figures):
    """Milliseconds of a decision over nodes, both in powers of ten."""
    width, height, left, bottom, top, right = 640, 400, 70, 50, 20, 55
    lines = {}
    for name, figure in figures.items():
        match = re.fullmatch(r"growth/(.+)/(\d+)", name)
        if match and match[1] in GROWING:
            lines.setdefault(match[1], []).append((int(match[2]), figure["value"]))
    if not lines:
        return ""
    every = [point for line in lines.values() for point in line]
    low = math.floor(math.log10(min(y for _, y in every)))
    high = max(1, math.ceil(math.log10(max(y for _, y in every))))
    first, last = (math.log10(f(x for x, _ in every)) for f in (min, max))
    at_x = lambda x: left + (math.log10(x) - first) / (last - first) * (width - left - right)
    at_y = lambda y: height - bottom - (math.log10(y) - low) / (high - low) * (height - top - bottom)
    text = lambda x, y, words, more="": f'<text x="{x:.0f}" y="{y:.0f}" {more}>{words}</text>'
    drawn = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="12">',
             f'<rect width="{width}" height="{height}" fill="white"/>']
    for power in range(low, high + 1):
        y = at_y(10 ** power)
        drawn.append(f'<line x1="{left}" y1="{y:.0f}" x2="{width - right}" y2="{y:.0f}" stroke="#ddd"/>')
        drawn.append(text(left - 8, y + 4, f"{10 ** power:g} ms", 'text-anchor="end"'))
    for x in sorted({x for x, _ in every}):
        drawn.append(f'<line x1="{at_x(x):.0f}" y1="{top}" x2="{at_x(x):.0f}" y2="{height - bottom}" stroke="#ddd"/>')
        drawn.append(text(at_x(x), height - bottom + 18, f"{x:,}", 'text-anchor="middle"'))
    drawn.append(text((left + width) / 2, height - 12, "nodes, 30 pods on each", 'text-anchor="middle"'))
    for color, (name, line) in zip(["#1f77b4", "#d62728"], lines.items()):
        line.sort()
        points = " ".join(f"{at_x(x):.1f},{at_y(y):.1f}" for x, y in line)
        drawn.append(f'<polyline points="{points}" fill="none" stroke="{color}" stroke-width="2"/>')
        drawn += [f'<circle cx="{at_x(x):.1f}" cy="{at_y(y):.1f}" r="3" fill="{color}"/>' for x, y in line]
        drawn += [text(at_x(x) + 8, at_y(y) + 12, number(y), f'fill="{color}"') for x, y in line[1:]]
    # Linear growth from the first point of the first line; what the goal at the largest size is; where others stand.
    x0, y0 = next(iter(lines.values()))[0]
    x1 = min(10 ** last, x0 * 10 ** high / y0)
    drawn.append(f'<line x1="{at_x(x0):.1f}" y1="{at_y(y0):.1f}" x2="{at_x(x1):.1f}" y2="{at_y(y0 * x1 / x0):.1f}" '
                 'stroke="#888" stroke-dasharray="4 4"/>')
    legend = [("#1f77b4", GROWING["plain"]), ("#d62728", GROWING["anti-affinity-among-apart"]), ("#888", "linear growth (dashed)")]
    for i, (color, words) in enumerate(legend):
        drawn.append(text(width - right - 310, height - bottom - 48 + 18 * i, words, f'fill="{color}"'))
    if low <= math.log10(4.8) <= high and first <= math.log10(5000) <= last:
        drawn.append(f'<circle cx="{at_x(5000):.1f}" cy="{at_y(4.8):.1f}" r="4" fill="none" stroke="black"/>')
        drawn.append(text(at_x(5000) + 8, at_y(4.8) + 4, "kube-scheduler 1.34.1, no affinity"))
    if low <= math.log10(5) <= high:
        drawn.append(f'<path d="M{at_x(10 ** last) - 12:.0f} {at_y(5):.0f}h12" stroke="black" stroke-width="2"/>')
        drawn.append(text(at_x(10 ** last) - 16, at_y(5) + 4, "goal", 'text-anchor="end"'))
    return "\n".join(drawn + ["</svg>", ""])


def main():
    reports = [load("postgresql"), load("sqlite")]
    postgres, sqlite = map(by_name, reports)
    store = KEPT / "store.md"
    held, missed = goals(postgres, sqlite)
    parts = {
        "machine": machine(reports),
        "goals": held,
        "engine": plain(postgres, None, ("engine/",)),
        "growth": plain(postgres, None, ("growth/",)),
        "workloads": plain(postgres, sqlite, ("Scheduling", "TopologySpreading", "Preemption", "MixedScheduling")),
        "server": plain(postgres, sqlite, ("start/", "filter", "prioritize", "flood/", "schedule-", "binds-", "seen/")),
        "mixed": plain(postgres, sqlite, ("mixed/",)),
        "store": store.read_text().strip() if store.exists() else "",
    }
    (KEPT / "growth.svg").write_text(plot(postgres))
    page = PAGE.read_text()
    for name, text in parts.items():
        marked = re.compile(f"(<!-- begin {name} -->\n).*?(<!-- end {name} -->)", re.DOTALL)
        if not marked.search(page):
            sys.exit(f"{PAGE.name} has no place for {name}")
        page = marked.sub(lambda found: f"{found[1]}\n{text}\n\n{found[2]}", page)
    PAGE.write_text(page)
    unexplained = [name for name in missed if f"- `{name}`" not in page]
    if unexplained:
        sys.exit(f"{PAGE.name} does not say why these goals are not reached: " + ", ".join(unexplained))


if __name__ == "__main__":
    main()
