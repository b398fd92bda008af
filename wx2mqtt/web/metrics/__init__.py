"""/metrics: what the bridge counts, for Prometheus. Numbers and codes; no name and no text of anybody."""
