"""Room 3: dashboards from the catalogue, for Grafana and for the built-in viewer."""
