"""The alerts room: one typed model of each alert; rules, routing, runbooks and tests come from it."""
