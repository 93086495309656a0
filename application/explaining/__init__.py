"""Why an event cost what it cost, and whether the bill agrees."""
