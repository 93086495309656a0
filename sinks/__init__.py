"""ClickHouse: where outputs are kept for analysis, and how they are read back."""
