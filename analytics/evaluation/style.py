"""How the report looks."""

CSS = """
:root { --ink: #26303a; --soft: #5c6873; --line: #dfe4e9; --blue: #2563a8; }
* { box-sizing: border-box; }
body { margin: 0; background: #f5f7f9; color: var(--ink); -webkit-text-size-adjust: 100%;
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Liberation Sans", Arial, sans-serif; }
main { max-width: 1080px; margin: 0 auto; padding: 24px 16px 48px; }
h1 { font-size: 26px; line-height: 1.2; margin: 0; overflow-wrap: anywhere; }
h2 { font-size: 17px; margin: 0 0 12px; }
header p { margin: 4px 0 16px; color: var(--soft); }
header p.bad { color: #b3382c; }
dl { display: grid; grid-template-columns: repeat(auto-fit, minmax(130px, 1fr)); gap: 10px; margin: 0; }
dl div { background: #fff; border: 1px solid var(--line); border-radius: 8px; padding: 10px 12px; }
dt { color: var(--soft); font-size: 12px; }
dd { margin: 2px 0 0; font-weight: 600; }
section { background: #fff; border: 1px solid var(--line); border-radius: 10px; padding: 18px;
  margin-top: 18px; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; font-size: 14px; }
th { text-align: left; font-weight: 600; color: var(--soft); font-size: 12px; white-space: nowrap; }
th, td { padding: 7px 10px 7px 0; border-bottom: 1px solid var(--line); vertical-align: top; }
tr:last-child td { border-bottom: 0; }
td + td { white-space: nowrap; }
.figures { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 420px), 1fr)); gap: 22px; }
figure { margin: 0; min-width: 0; }
figcaption { font-size: 13px; color: var(--soft); margin-bottom: 6px; overflow-wrap: anywhere; }
figcaption b { color: var(--ink); }
figure svg { display: block; width: 100%; height: auto; max-width: 540px; }
.figures + .scroll { margin-top: 16px; }
.ok, .mid, .low, .few { border-radius: 999px; padding: 1px 9px; font-size: 12px; font-weight: 600;
  white-space: nowrap; }
.ok { background: #dcf1e6; color: #1c6444; }
.mid { background: #fdeccf; color: #7d4a08; }
.low { background: #f8dedb; color: #8c2a20; }
.few { background: #e8ebef; color: #4d5863; }
ul { margin: 0; padding-left: 18px; color: var(--soft); font-size: 13px; }
li { margin: 4px 0; }
td:first-child { min-width: 110px; }
@media (max-width: 600px) { td, th { padding-right: 8px; font-size: 13px; } td + td { white-space: normal; }
  main { padding: 16px 10px 32px; } section { padding: 14px 12px; } h1 { font-size: 21px; } }
@media print { body { background: #fff; font-size: 12px; } main { max-width: none; padding: 0; }
  section { border: 0; padding: 0; break-inside: auto; } figure, tr { break-inside: avoid; }
  .figures { grid-template-columns: 1fr 1fr; } }
"""
