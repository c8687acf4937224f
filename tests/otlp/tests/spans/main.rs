//! Spans and timeouts of connections, as an OpenTelemetry collector gets them: through the standard layer, exporter
//! and protocol, into a collector in this process.

mod collector;
mod ends;
mod peers;
mod timeouts;
mod waterfall;
