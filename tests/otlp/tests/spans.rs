//! Spans and timeouts of connections, as an OpenTelemetry collector gets them.
