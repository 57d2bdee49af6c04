"""Rule files and reference page of the dialects: our series from dcgm-exporter and node_exporter."""

from __future__ import annotations

import textwrap

from alerts.rules import all_alerts
from alerts.yamltext import HEADER, dump
from gigawatch.promql import dialects
from gigawatch.promql.dialects import DIALECTS, Dialect, Made, Row
from gigawatch.promql.dialects.coverage import lacking, not_given


def rules(dialect: Dialect) -> str:
    """The file of the recording rules of one dialect; what each one means stands above it."""
    lines = [HEADER.format(source="gigawatch/promql/dialects") + "groups:"]
    for name, members in dialects.groups(dialect).items():
        lines += [f"- name: {name}", "  rules:"]
        for one in members:
            lines.append(f"  # {one.help}")
            made: dict[str, object] = {"record": one.record, "expr": one.expr}
            if one.labels:
                made["labels"] = dict(one.labels)
            lines.append(textwrap.indent(dump([made]), "  ").rstrip())
    return "\n".join(lines) + "\n"


def page() -> str:
    """docs/reference/existing-exporters.md."""
    lines = [
        "# What existing exporters give, and what they do not",
        "",
        "Generated from `gigawatch/promql/dialects` by `gigawatch build`. How to use it, and what is a best",
        "effort only: [existing exporters](../existing-exporters.md).",
    ]
    for dialect in DIALECTS:
        lines += [
            "",
            f"## From {dialect.title}",
            "",
            "The first that a thing has gives the value.",
            "",
            "| Our series | Taken from | In our unit |",
            "|---|---|---|",
            *(_line(row) for row in dialect.rows),
        ]
    lines += [
        "",
        "## Metrics that only our agent gives",
        "",
        *(f"- `{metric.name}`: {metric.help}" for metric in not_given()),
        "",
        "## Alerts that see less without our agent",
        "",
        "They stay silent, or watch only the other half of their condition.",
        "",
        "| Alert | Rests on |",
        "|---|---|",
    ]
    for alert in all_alerts():
        missing = lacking(alert.expr.text)
        if missing:
            names = ", ".join(f"`{name}`" for name in missing)
            lines.append(f"| [{alert.name}](../runbooks/{alert.name}.md) | {names} |")
    return "\n".join(lines) + "\n"


def _line(row: Row) -> str:
    fixed = ", ".join(f'{label}="{value}"' for label, value in row.fixed.items())
    series = f"`{row.metric.name}{{{fixed}}}`" if fixed else f"`{row.metric.name}`"
    origins, units = [], []
    for origin in row.origins:
        if isinstance(origin, Made):
            names, unit = origin.of, "worked out"
        else:
            names, unit = (origin.foreign,), _factor(origin.factor)
        origins.append(" and ".join(f"`{one.names[0]}`" for one in names))
        units.append(unit)
    return f"| {series} | {'; or '.join(origins)} | {'; or '.join(dict.fromkeys(units))} |"


def _factor(factor: float) -> str:
    if factor == 1:
        return "as it is"
    return f"divided by {1 / factor:,.0f}" if factor < 1 else f"times {factor:,.0f}"
