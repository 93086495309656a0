"""The Avro schemas of every command and output, their codec, and the price book's YAML.

Start at `schemas.codec.Codec`; `docs/schemas.md` is the reference of the records.
"""

import metering.compiled  # noqa: F401 - first of all: it decides how the modules below are loaded
