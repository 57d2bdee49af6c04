"""Analytics: series in, findings out. Reads only Prometheus' HTTP API and speaks only through metrics."""
