"""The table of docs/reliability.md, made from the catalogue of faults."""

import pathlib

BEGIN, END = "<!-- The table is printed by scripts/faults --table. -->", "<!-- The end of the table. -->"


def table(rows):
    lines = ["| Fault | What the node does | Outcome | What you do | Tried as |", "| --- | --- | --- | --- | --- |"]
    for row in rows:
        names = ", ".join(f"`{name}`" for name in short([fault.name for fault in row.faults]))
        lines.append(f"| {row.what} | {row.node} | {row.outcome} | {row.operator} | {names} |")
    return "\n".join(lines)


def short(names):
    """Shortens names that differ in their first and last words only, as a shell would read them."""
    damages = {}
    for name in names:
        first, _, rest = name.partition("-")
        damages.setdefault(rest, []).append(first)
    together = {}
    for rest, firsts in damages.items():
        together.setdefault(tuple(firsts), []).append(rest)
    found = []
    for firsts, rests in together.items():
        first = firsts[0] if len(firsts) == 1 else f"{{{','.join(firsts)}}}"
        found += [f"{first}-{rest}" for rest in plain_and_away(rests)]
    return found


def plain_and_away(rests):
    """`log`, `log-away` and `log-behind` become `log{,-away,-behind}`."""
    roots = {}
    for rest in rests:
        root = next((known for known in roots if rest.startswith(f"{known}-") and rest[len(known) :] in ("-away", "-behind")), rest)
        roots.setdefault(root, []).append(rest[len(root) :])
    return [root if ends == [""] else f"{root}{{{','.join(ends)}}}" for root, ends in roots.items()]


def stale(path, rows):
    """Why the table in the document is not the one of the catalogue, or None."""
    text = pathlib.Path(path).read_text()
    if BEGIN not in text or END not in text:
        return f"{path} has no marks around the table"
    inside = text.split(BEGIN)[1].split(END)[0].strip()
    return None if inside == table(rows) else f"the table in {path} is not the one of the catalogue: put in what scripts/faults --table prints"
