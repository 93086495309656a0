"""The process `creditmeter deliver`: everything opened, run until SIGTERM or SIGINT, and closed in order."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable

from application.access.access import opened_access, secret_keys_of
from application.configuration.settings import Settings
from application.errors import Misconfigured
from application.pipeline import opened
from application.usage.store import configured_usage
from application.webhooks.delivering import Deliverer, DelivererParts
from application.webhooks.sending import HttpSender
from application.webhooks.targets import TargetRules
from streams.metrics import Metrics, MetricsServer


def run_deliverer(settings: Settings, on_ready: Callable[[], None] = lambda: None) -> None:
    """Deliver until SIGTERM or SIGINT. Raises Misconfigured without a secret_key, UseCaseError, OSError."""
    secrets = secret_keys_of(settings)
    if secrets is None:
        raise Misconfigured(
            "secret_key: is needed, the same as the server's: what webhooks are sent is signed with secrets that are "
            "derived from it. `creditmeter up` makes one"
        )
    metrics = Metrics()
    with opened(settings) as pipeline:
        pipeline.ensure_topics()
        if settings.metrics_port:  # worker's processes and the loader have the ports before it
            port = settings.metrics_port + settings.processes + 1
            MetricsServer(metrics, host=settings.metrics_host, port=port)
        with opened_access(pipeline, secrets) as access:
            access.view.follow()
            sender = HttpSender(TargetRules(settings.webhooks_to_this_machine))
            parts = DelivererParts(
                pipeline, access, sender, configured_usage(settings), metrics, float(settings.session_timeout)
            )
            asyncio.run(_until_asked(Deliverer(parts), on_ready))


async def _until_asked(deliverer: Deliverer, on_ready: Callable[[], None]) -> None:
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    await deliverer.run(stop, on_ready)
