"""From Prometheus to ticks: asking, reading the answers, knowing whose they are."""
