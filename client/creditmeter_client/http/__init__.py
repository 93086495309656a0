"""The meter over HTTP, with the standard library alone: `transport.HttpTransport`, its connections and its answers."""
