"""Broker credentials as Faust wants them, from librdkafka's settings, which everything else here uses."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import faust


def faust_credentials(security: Mapping[str, str]) -> dict[str, Any]:
    """Faust's broker credentials for librdkafka's security settings."""
    protocol = security.get("security.protocol", "PLAINTEXT").upper()
    if protocol == "PLAINTEXT":
        return {}
    context = None
    if protocol.endswith("SSL"):
        import ssl  # noqa: PLC0415 - only where TLS is asked for

        context = ssl.create_default_context(cafile=security.get("ssl.ca.location"))
        if security.get("ssl.certificate.location"):
            context.load_cert_chain(
                security["ssl.certificate.location"], security.get("ssl.key.location"), security.get("ssl.key.password")
            )
    if protocol == "SSL":
        return {"broker_credentials": faust.SSLCredentials(context)}
    sasl = faust.SASLCredentials(
        username=security.get("sasl.username"),
        password=security.get("sasl.password"),
        ssl_context=context,
        mechanism=security.get("sasl.mechanism", "PLAIN"),
    )
    return {"broker_credentials": sasl}
