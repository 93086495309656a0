"""`python -m local`: says how the tests get Kafka and ClickHouse on this machine; exit code 1 where they cannot.

Addresses come from CREDITMETER_TEST_BOOTSTRAP_SERVERS and CREDITMETER_TEST_CLICKHOUSE, as in the tests.
"""

import os
import sys

from local import probes
from local.choose import CLICKHOUSE, KAFKA, NoService, Way, choose
from local.shared import CLICKHOUSE_ADDRESS, KAFKA_ADDRESS

WORDS = {
    Way.ADDRESS: "at the address given in {variable}",
    Way.DOCKER: "in a Docker container",
    Way.LOCAL: "from the programs of this machine",
}


def main() -> int:
    failures = 0
    for service, variable, local in (
        (KAFKA, KAFKA_ADDRESS, (probes.java, probes.maven)),
        (CLICKHOUSE, CLICKHOUSE_ADDRESS, (probes.clickhouse,)),
    ):
        try:
            way = choose(service, address=os.environ.get(variable), docker=probes.docker, local=local)
        except NoService as error:
            print(error, file=sys.stderr)  # noqa: T201 - a command's words
            failures += 1
        else:
            print(f"{service.name}: {WORDS[way].format(variable=variable)}", file=sys.stderr)  # noqa: T201 - as above
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
