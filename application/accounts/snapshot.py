"""One account now: balances, settings, open grants and holds, and how far they are loaded.

For whoever asks at every request: it reads a few rows, however long the account's history is, and replays nothing. What
was decided in the last minute and is not loaded yet is laid over them, where a tail of decisions is at hand.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from application.accounts.unloaded import UnloadedOutputs
from application.usage.store import UsageStore
from sinks.current import NOTHING, CurrentBalance, CurrentGrant, CurrentHold, CurrentSettings, current_account
from streams import clock
from streams.loading.positions import TABLE

_AS_OF = f"SELECT topic, source_offset FROM {TABLE} FINAL WHERE log_partition = {{partition:Int32}}"  # noqa: S608 - ours


@dataclass(frozen=True, slots=True)
class AccountSnapshot:
    """Amounts in credits, times in ms. `balances` by credit type; `grants` and `holds` are open ones, by their ends.

    `as_of`: by output topic, the last input offset of the account's partition all of whose outputs there are in it, -1
    where that is not known. Later ones may be in it, too. `source_offset` is the newest input message that is; -1 for
    an account of which nothing is known.
    """

    account_id: str
    balances: Mapping[str, CurrentBalance]
    settings: CurrentSettings
    grants: tuple[CurrentGrant, ...]
    holds: tuple[CurrentHold, ...]
    as_of: Mapping[str, int]
    source_offset: int

    @property
    def is_known(self) -> bool:
        """Whether anything of the account is loaded, or was decided just now."""
        return self.source_offset >= 0

    def as_plain(self) -> dict[str, Any]:
        """For programs."""
        plan = self.settings.plan
        return {
            "account_id": self.account_id,
            "balances": {
                name: {"balance": balance.balance, "held": balance.held, "available": balance.available}
                for name, balance in self.balances.items()
            },
            "plan": plan and {"name": plan[0], "started_at": plan[1], "ends_at": plan[2]},
            "on_empty": self.settings.on_empty,
            "alert_below": dict(self.settings.alert_below),
            "grants": [asdict(grant) for grant in self.grants],
            "holds": [asdict(hold) | {"held": hold.remaining} for hold in self.holds],
            "as_of": dict(self.as_of),
        }


def account_snapshot(
    store: UsageStore, account_id: str, partition: int, outputs: UnloadedOutputs | None = None
) -> AccountSnapshot:
    """The account now; `partition` is its own (`partition_of`). Raises Failed where the store cannot answer."""
    # The positions first: what they say is loaded is in the rows that are read behind them.
    as_of = {row["topic"]: int(row["source_offset"]) for row in store.rows(_AS_OF, {"partition": partition})}
    unloaded = NOTHING if outputs is None else outputs.of(account_id, as_of)
    account = current_account(store.rows, account_id, clock.now_ms(), unloaded)
    return AccountSnapshot(
        account_id, account.balances, account.settings, tuple(account.grants), tuple(account.holds), as_of,
        account.source_offset,
    )  # fmt: skip
