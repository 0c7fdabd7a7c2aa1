"""The page's style sheet: one column of text, tabular numbers, light, dark, print."""

from __future__ import annotations


# The figures use the same names: `_draw` turns its colours into these variables.
STYLE = """
:root{--ink:#1c2127;--muted:#5d6673;--line:#d9dde3;--paper:#ffffff;--box:#f5f6f8;
--model:#0072b2;--good:#00664c;--goodbg:#e8f4f0;--bad:#a33c00;--badbg:#fbeee6;
--sans:system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,"DejaVu Sans",
sans-serif;
--mono:ui-monospace,SFMono-Regular,Menlo,Consolas,"DejaVu Sans Mono",monospace}
@media screen and (prefers-color-scheme:dark){:root{--ink:#e6e9ed;--muted:#9aa4b2;
--line:#39414b;--paper:#15181c;--box:#1e2329;--model:#56b4e9;--good:#4cc3a0;
--goodbg:#14271f;--bad:#ff9b5e;--badbg:#2c1d13}}
*{box-sizing:border-box}
html{background:var(--paper);color:var(--ink);font:15px/1.5 var(--sans);
-webkit-text-size-adjust:100%}
body{max-width:1180px;margin:0 auto;padding:0 24px 64px}
header{display:flex;flex-wrap:wrap;gap:4px 24px;align-items:baseline;
justify-content:space-between;border-bottom:1px solid var(--line);padding:12px 0 8px}
.kind{font-weight:700;letter-spacing:.01em}
.kind span{font-weight:400;color:var(--muted)}
nav{display:flex;flex-wrap:wrap;gap:2px 16px;font-size:13px}
a{color:var(--model);text-decoration:none}a:hover{text-decoration:underline}
h1{font-size:23px;line-height:1.25;margin:18px 0 2px;overflow-wrap:anywhere;
font-weight:650;letter-spacing:-.01em}
h2{font-size:17px;margin:44px 0 12px;font-weight:650}
h2 .k{color:var(--muted);font-weight:400;margin-right:6px}
section:first-of-type h2{font-size:13px;font-weight:400;color:var(--muted);
margin:0 0 12px}section:first-of-type h2 .k{margin-right:0}
h3{font-size:14px;margin:24px 0 6px;font-weight:650}
p{margin:0 0 8px;max-width:76ch}p,li,dd{overflow-wrap:anywhere}
td{overflow-wrap:break-word}
.quiet,figcaption,caption{color:var(--muted);font-size:13px;line-height:1.45}
ul{margin:4px 0 8px;padding-left:18px}li{margin:2px 0;max-width:90ch}
header p,.verdict p,.headline p{margin:0}
.verdict{display:flex;gap:14px;align-items:flex-start;border-left:5px solid;
border-radius:3px;padding:10px 16px;margin:0 0 18px}
.verdict p{font-size:17px;line-height:1.35;font-weight:600;max-width:none}
.verdict .more{font-size:13.5px;font-weight:400;margin-top:4px}
.verdict ul{font-size:13.5px;margin:5px 0 0}.verdict li{max-width:none}
.verdict .sign{font-size:19px;line-height:1.2;font-weight:700}
.verdict.good{border-color:var(--good);background:var(--goodbg)}
.verdict.bad{border-color:var(--bad);background:var(--badbg)}
.verdict.open{border-color:var(--muted);background:var(--box)}
.good .sign{color:var(--good)}.bad .sign{color:var(--bad)}
.open .sign{color:var(--muted)}
.columns{display:grid;grid-template-columns:minmax(0,5fr) minmax(0,12fr);gap:8px 32px;
align-items:start}.columns.even{grid-template-columns:minmax(0,1fr) minmax(0,1fr)}
.headline{margin:0 0 16px}
.headline .value{font-size:34px;line-height:1.1;font-weight:650;
letter-spacing:-.02em;font-variant-numeric:tabular-nums}
.headline .interval{color:var(--muted);margin:2px 0 4px;font-size:13.5px}
.headline p{font-size:14px;line-height:1.4}
.scroll{overflow-x:auto;margin:0 0 14px}
table{border-collapse:collapse;font-size:13.5px;line-height:1.4;
font-variant-numeric:tabular-nums;min-width:min(100%,420px)}
.columns table{width:100%}
caption{text-align:left;padding:0 0 4px}
th{text-align:left;font-weight:500;color:var(--muted);
border-bottom:1px solid var(--ink);padding:3px 12px 3px 0;vertical-align:bottom}
td{border-bottom:1px solid var(--line);padding:4px 12px 4px 0;vertical-align:top}
th.n,td.n{text-align:right}tr>:last-child{padding-right:0}td.n{white-space:nowrap}
tr.mark td{font-weight:650}
dl{margin:0 0 14px;font-size:13.5px;max-width:860px}
dl div{display:grid;grid-template-columns:minmax(110px,190px) 1fr;gap:2px 16px;
padding:3px 0;border-bottom:1px solid var(--line)}
dt{color:var(--muted)}dd{margin:0}
figure{margin:0 0 18px}figure svg{display:block;width:100%;height:auto}
figure img{display:block;max-width:100%;height:auto;border-radius:3px}
svg text{font-family:var(--sans)!important}
figcaption{margin:4px 0 0;max-width:100ch}
pre{background:var(--box);border-radius:3px;padding:10px 12px;
font:12.5px/1.45 var(--mono);
overflow-x:auto;white-space:pre-wrap;overflow-wrap:anywhere;margin:0 0 12px}
summary{cursor:pointer;color:var(--muted);font-size:13.5px;margin:4px 0}
@media (max-width:860px){.columns,.columns.even{grid-template-columns:minmax(0,1fr)}
body{padding:0 14px 40px}}
@media print{html{font-size:11px}body{max-width:none;padding:0}nav{display:none}
h2{break-after:avoid}figure,.verdict,tr{break-inside:avoid}
.verdict{-webkit-print-color-adjust:exact;print-color-adjust:exact}}
""".strip().replace("\n", "")
