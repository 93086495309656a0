"""A service that many use at once: each keeps to names that nobody else has."""

import secrets

from local.start import Broker, ClickHouse

# Environment variables with the addresses of services to test against. Names of their own: tests never touch what
# the settings of a real installation point to.
KAFKA_ADDRESS = "CREDITMETER_TEST_BOOTSTRAP_SERVERS"  # host:port
CLICKHOUSE_ADDRESS = "CREDITMETER_TEST_CLICKHOUSE"  # clickhouse://user:password@host:9000?http_port=8123


class SharedKafka:
    """A broker that all tests share. Each keeps to topics below a prefix of its own."""

    def __init__(self, broker: Broker) -> None:
        self.bootstrap = broker.bootstrap

    def fresh_prefix(self) -> str:
        """A topic prefix that nobody has used, in this run or in another one on the same broker."""
        return f"test-{secrets.token_hex(6)}"


class SharedClickHouse:
    """A server that all tests share. Each keeps to a database of its own; `version` says what the server can do."""

    def __init__(self, server: ClickHouse) -> None:
        self.host = server.host
        self.port = server.port
        self.http_port = server.http_port
        self.user = server.user
        self.password = server.password
        self.version = server.version

    def fresh_database(self) -> str:
        """A database name that nobody has used. The database is not made."""
        return f"test_{secrets.token_hex(6)}"
