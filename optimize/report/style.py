"""How the page looks: on a phone, on a screen, in the dark and in print."""

from __future__ import annotations

__all__ = ["STYLE"]

STYLE = """
:root{--ink:#1b1f24;--paper:#fff;--soft:#5b6472;--rule:#d9dde3;--good:#1a7f4b;--bad:#c0392b;
--open:#a86510;--a:#2563eb;--b:#d97706;--c:#059669;--d:#9333ea;--e:#dc2626;--f:#0891b2}
@media(prefers-color-scheme:dark){:root{--ink:#e6e9ee;--paper:#14171b;--soft:#9aa4b2;
--rule:#323842;--good:#4ade80;--bad:#f87171;--open:#fbbf24;--a:#60a5fa;--b:#fbbf24;--c:#34d399;
--d:#c084fc;--e:#f87171;--f:#22d3ee}}
*{box-sizing:border-box}
body{margin:0 auto;max-width:64rem;padding:1rem;color:var(--ink);background:var(--paper);
font:16px/1.5 system-ui,sans-serif}
h1{font-size:1.5rem;overflow-wrap:anywhere}h2{font-size:1.15rem;margin:2rem 0 .5rem}
p.soft,.legend,td.soft{color:var(--soft)}p.verdict{font-size:1.1rem}
.legend{list-style:none;padding:0;margin:.3rem 0}.legend li{margin:.1rem 0}
.wide{overflow-x:auto}table{border-collapse:collapse;width:100%;font-size:.9rem}
th,td{text-align:left;padding:.35rem .5rem;border-bottom:1px solid var(--rule);vertical-align:top}
td.n,th.n{text-align:right;font-variant-numeric:tabular-nums}
td.n,td.pass,td.fail,td.inconclusive{white-space:nowrap}
.wide td:not(.n){min-width:6rem}.wide td.long{min-width:12rem}
td{overflow-wrap:anywhere}code{font-size:.85em;overflow-wrap:anywhere}
.pass{color:var(--good)}.fail{color:var(--bad)}.inconclusive{color:var(--open)}
.skipped{color:var(--soft)}tr.chosen{font-weight:600}
dl{display:grid;grid-template-columns:max-content 1fr;gap:.2rem 1rem;margin:0}
dt{color:var(--soft)}dd{margin:0;overflow-wrap:anywhere}
svg.plot{display:block;width:100%;max-width:40rem;height:auto;font:12px system-ui,sans-serif}
svg text{fill:var(--soft)}svg .grid line{stroke:var(--rule);stroke-width:1}
svg line.edge{stroke:var(--soft);stroke-dasharray:2 3}
svg g.pass circle{fill:var(--good)}svg g.inconclusive rect{fill:var(--open)}
svg g.fail path{stroke:var(--bad);stroke-width:2;fill:none}
svg g.pick circle{stroke:var(--ink);stroke-width:2.5}
svg g.pick text{font-weight:700;fill:var(--ink)}
svg polyline[class]{fill:none;stroke-width:2}svg polyline.front{stroke:var(--good);stroke-width:1.5;
stroke-dasharray:5 4}
svg .bar{fill:var(--a)}svg .bar.kept{fill:var(--b)}svg .band{opacity:.14;stroke:none}
svg.key{width:24px;height:8px;margin-right:.5em;vertical-align:middle}
.line0{stroke:var(--a);fill:var(--a)}.line1{stroke:var(--b);fill:var(--b);stroke-dasharray:6 3}
.line2{stroke:var(--c);fill:var(--c);stroke-dasharray:2 2}.line3{stroke:var(--d);fill:var(--d);
stroke-dasharray:8 3 2 3}.line4{stroke:var(--e);fill:var(--e);stroke-dasharray:10 4}
.line5{stroke:var(--f);fill:var(--f);stroke-dasharray:1 3}
circle.line0,circle.line1,circle.line2,circle.line3,circle.line4,circle.line5{stroke:none}
ul.skipped li{margin:.4rem 0}
.two{display:grid;grid-template-columns:repeat(auto-fit,minmax(18rem,1fr));gap:0 1.5rem}
@media(max-width:40rem){table.cards,table.cards tbody,table.cards tr,table.cards td{display:block}
table.cards tr.head{display:none}table.cards tr{border:1px solid var(--rule);border-radius:.4rem;
margin:.6rem 0;padding:.3rem .6rem}table.cards td,table.cards td.n{border:0;padding:.1rem 0;
text-align:left;white-space:normal}table.cards td:empty{display:none}
table.cards td[data-label]::before{content:attr(data-label) ": ";color:var(--soft);
font-weight:400}}
@media print{:root{--ink:#000;--paper:#fff;--soft:#444;--rule:#bbb;--good:#14532d;--bad:#7f1d1d;
--open:#713f12;--a:#1d4ed8;--b:#92400e;--c:#065f46;--d:#6b21a8;--e:#991b1b;--f:#155e75}
body{max-width:none;padding:0;font-size:11pt}svg.plot{max-width:13cm}
h2{break-after:avoid}tr,svg.plot,.legend{break-inside:avoid}.wide{overflow:visible}}
"""
