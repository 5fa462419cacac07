import type { Manifest } from "../manifest.ts";
import { html, Markup } from "./html.ts";
import { quantizationSection } from "./quantization.ts";
import {
  beforeAfter,
  candidatesSection,
  headline,
  layersSection,
  measuredSection,
  skippedSection,
  warningsSection,
} from "./sections.ts";
import { usageSection } from "./usage.ts";

/** The look of every report. */
export const style = `
:root{color-scheme:light;--ink:#0f172a;--muted:#64748b;--line:#e2e8f0;--good:#0f766e;--bad:#b91c1c}
*{box-sizing:border-box}body{margin:0 auto;max-width:1080px;padding:32px 24px 64px;font:15px/1.55 system-ui,-apple-system,"Segoe UI",sans-serif;color:var(--ink);background:#fff}
h1{font-size:24px;margin:0 0 4px}h2{font-size:18px;margin:40px 0 12px;padding-top:16px;border-top:1px solid var(--line)}h3{font-size:14px;margin:0 0 6px}
.muted,figcaption,small{color:var(--muted)}figcaption{font-size:13px}figure{margin:0 0 12px}svg{max-width:100%;height:auto}
.verdict{font-size:18px;padding:12px 16px;border-left:4px solid var(--good);background:#f0fdfa}.verdict.missed{border-color:var(--bad);background:#fef2f2}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(200px,1fr));gap:12px;margin:16px 0}.tile{border:1px solid var(--line);border-radius:8px;padding:12px 14px;display:flex;flex-direction:column}
.tile span{font-size:12px;color:var(--muted);text-transform:uppercase;letter-spacing:.04em}.tile b{font-size:20px;margin:2px 0}
table{border-collapse:collapse;width:100%;font-size:13px}th,td{text-align:left;padding:6px 10px;border-bottom:1px solid var(--line);vertical-align:top}th{color:var(--muted);font-weight:600;white-space:nowrap}
td.n,th.n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}tr.marked{background:#f0fdfa;font-weight:600}.scroll{overflow-x:auto}
pre{background:#f8fafc;border:1px solid var(--line);border-radius:8px;padding:12px;overflow-x:auto;font-size:12px}code{font-size:12px;background:#f1f5f9;padding:1px 4px;border-radius:4px;word-break:break-all}
.columns{display:grid;grid-template-columns:repeat(auto-fit,minmax(320px,1fr));gap:16px}details{margin:12px 0}summary{cursor:pointer;color:#2563eb}
aside{border-left:4px solid #d97706;background:#fffbeb;padding:4px 16px;margin:16px 0}
@media print{details{display:block}body{padding:0}}`;

/** One self-contained page: no script, no request to anywhere. */
export function renderReport(manifest: Manifest): string {
  const name = manifest.model.path.split(/[\\/]/).at(-1) ?? manifest.model.path;
  const page = html`<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1"><link rel="icon" href="data:,">
<title>Edgewright: ${name} on ${manifest.target.name}</title><style>${new Markup(style)}</style></head><body>
<header><h1>${name}</h1><p class="muted">optimized for ${manifest.target.name} (${manifest.target.summary}) · ${manifest.createdAt.slice(0, 10)} · edgewright ${manifest.tool.version} · ${Math.round(manifest.wallSeconds)} s</p></header>
${headline(manifest)}${warningsSection(manifest)}${beforeAfter(manifest)}${candidatesSection(manifest)}${quantizationSection(manifest)}${layersSection(manifest)}${skippedSection(manifest)}${usageSection(manifest)}${measuredSection(manifest)}
</body></html>
`;
  return page.text;
}
