"""What a server has counted: ``io.metrics()``, and the same as text for Prometheus."""

from fastsio.server.metrics import CONTENT_TYPE, Metrics, prometheus

__all__ = ["CONTENT_TYPE", "Metrics", "prometheus"]
