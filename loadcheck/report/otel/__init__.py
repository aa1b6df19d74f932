"""A run's figures while it goes on, sent to an OpenTelemetry collector if the user names one.

Only the standard environment variables decide, and only over OTLP/HTTP with protobuf. Nothing is
recorded for it: what is sent is read, once in an export interval, from the histograms and counters
that a run keeps anyway, and turned into OTLP's data model in a thread. So the load pays nothing,
which the SDK's instruments, fed sample by sample, would not allow.
"""

from loadcheck.report.otel.exporter import Settings, beside, settings

__all__ = ["Settings", "beside", "settings"]
