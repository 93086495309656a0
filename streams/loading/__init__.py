"""The loader: output topics into ClickHouse."""
