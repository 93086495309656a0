"""The use cases: what a user can ask for, as plain values in and dataclasses out, without a terminal or HTTP."""
