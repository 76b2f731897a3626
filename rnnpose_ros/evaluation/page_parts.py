"""The pieces that reports are made of: one HTML file each, nothing fetched."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from html import escape

STYLE = """
:root{color-scheme:light;--ink:#1c2430;--soft:#5d6877;--line:#e3e7ec;--good:#12805c;--bad:#b3362b}
*{box-sizing:border-box}body{margin:0;background:#f6f7f9;color:var(--ink);font:16px/1.5 system-ui,sans-serif}
main{max-width:1040px;margin:0 auto;padding:32px 20px 64px}h1{font-size:28px;line-height:1.2;margin:0 0 12px}
h2{font-size:18px;margin:0 0 12px}section{background:#fff;border:1px solid var(--line);border-radius:10px;padding:20px;
margin-top:20px}.verdict{font-size:18px;padding:12px 16px;border-radius:8px;border-left:5px solid var(--good);
background:#e9f6f0}.verdict.bad{border-color:var(--bad);background:#fbeceb}.scroll{overflow-x:auto}
table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}th,td{padding:7px 10px;text-align:right;
border-bottom:1px solid var(--line);white-space:nowrap}th:first-child,td:first-child{text-align:left}
th{color:var(--soft);font-weight:600;font-size:14px}tr.refined td{font-weight:600}
dl{display:grid;grid-template-columns:max-content 1fr;gap:4px 20px;margin:16px 0 0}dt{color:var(--soft)}dd{margin:0;
overflow-wrap:anywhere}.strip{display:grid;grid-template-columns:repeat(auto-fill,minmax(220px,1fr));gap:12px}
figure{margin:0}img{width:100%;display:block;border-radius:6px;background:#000}
figcaption{font-size:13px;color:var(--soft);padding-top:4px}svg{width:100%;height:auto;display:block}
svg text{font:12px system-ui,sans-serif;fill:#5d6877}svg .legend{fill:#1c2430}svg .grid{stroke:#e3e7ec}
svg .limit{stroke:#b3362b;stroke-dasharray:5 4}p.note{color:var(--soft);margin:8px 0 0;font-size:14px}
"""


def page(title: str, body: Sequence[str]) -> str:
    """A whole page under a title."""
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{escape(title)}</title><style>{STYLE}</style></head>"
        f"<body><main><h1>{escape(title)}</h1>{''.join(body)}</main></body></html>\n"
    )


def verdict(sentence: str, *, passed: bool) -> str:
    """The answer in one sentence, green or red."""
    return f'<div class="verdict{"" if passed else " bad"}">{escape(sentence)}</div>'


def section(title: str, content: str, *, note: str = "") -> str:
    """A framed part of a page: HTML under a heading, and a remark below it."""
    remark = f'<p class="note">{escape(note)}</p>' if note else ""
    return f"<section><h2>{escape(title)}</h2>{content}{remark}</section>"


def table(heads: Sequence[str], rows: Sequence[Sequence[str]], *, strong: Collection[int] = ()) -> str:
    """A table of words; the rows named in ``strong`` are set in bold."""
    head = "".join(f"<th>{escape(h)}</th>" for h in heads)
    kinds = [' class="refined"' if i in strong else "" for i in range(len(rows))]
    cells = ["".join(f"<td>{escape(cell)}</td>" for cell in row) for row in rows]
    body = "".join(f"<tr{kind}>{row}</tr>" for kind, row in zip(kinds, cells, strict=True))
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def definitions(lines: Mapping[str, str]) -> str:
    """Names and what belongs to them."""
    return "<dl>" + "".join(f"<dt>{escape(k)}</dt><dd>{escape(str(v))}</dd>" for k, v in lines.items()) + "</dl>"


def number(value: float) -> str:
    """Two digits, or a dash where there is none."""
    return f"{value:.2f}" if math.isfinite(value) and value < 1e6 else "—"


def share(value: float) -> str:
    """Percent, or a dash where there is none."""
    return f"{100 * value:.1f} %" if math.isfinite(value) else "—"
