"""Errors of use cases: a heading, every mistake, and a code for programs."""

import pytest

from application.commands.fields import BadField
from application.errors import ErrorCode, Failed, Misconfigured, UseCaseError
from application.explaining.explain import BillMismatch
from metering.records import Command


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (Failed("no"), ErrorCode.FAILED),
        (Misconfigured("no"), ErrorCode.INVALID),
        (BadField(Command.GRANT, {"credits": 0}, "credits"), ErrorCode.INVALID),
        (BillMismatch(("one",)), ErrorCode.MISMATCH),
        (Failed("no", ErrorCode.NOT_FOUND), ErrorCode.NOT_FOUND),
    ],
)
def test_every_error_has_its_code_and_prints_its_message(error: UseCaseError, code: ErrorCode) -> None:
    assert error.code is code
    assert str(error) == error.message


def test_the_code_of_one_error_is_not_that_of_its_class() -> None:
    Failed("no", ErrorCode.CONFLICT)
    assert Failed("no").code is ErrorCode.FAILED


def test_every_mistake_has_a_line_of_its_own_below_the_heading() -> None:
    error = Misconfigured("two are wrong:", ["a: is absent", "b: is 3"])
    assert error.message.splitlines() == ["two are wrong:", "  a: is absent", "  b: is 3"]
    assert (error.heading, error.mistakes) == ("two are wrong:", ("a: is absent", "b: is 3"))
