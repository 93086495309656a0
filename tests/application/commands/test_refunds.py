"""What a refund of a very large call asks ClickHouse must fit the statements that it takes."""

import json
import re

from application.commands.refunds import first_results
from application.in_memory import in_memory_pipeline
from sinks.http import MAX_STATEMENT


class FewStatements:
    """Answers every statement that fits with a row for each id in it."""

    def answer(self, sql: str, _output_format: str, _seconds: float = 0) -> bytes:
        assert len(sql.encode()) <= MAX_STATEMENT
        rows = [{"refund_id": refund_id, "status": "rejected"} for refund_id in re.findall("request:[0-9a-f]+", sql)]
        return "\n".join(map(json.dumps, rows)).encode()


def test_first_results_of_many_refunds_are_asked_for_in_statements_that_fit() -> None:
    ids = [f"request:{number:040x}" for number in range(30_000)]
    pipeline = in_memory_pipeline(sql=FewStatements())
    assert first_results(pipeline, "acme", ids) == {own_id: [{"status": "rejected"}] for own_id in ids}
    assert first_results(pipeline, "acme", []) == {}
