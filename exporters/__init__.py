"""Things to /metrics: the node agent, the facility exporter and the service discovery."""
