"""The pages as people see and use them: Chromium against a whole server over a pipeline in memory and chDB."""

from __future__ import annotations

import csv
import io
import json
import re
import unicodedata
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from playwright.sync_api import Browser, Dialog, expect
from standardwebhooks.webhooks import Webhook as Verifier

from application.access.authenticator import KeyAuthenticator
from application.access.errors import KeyRevoked
from application.access.identity import Role
from application.access.keys import KeyOrder, create_key
from application.access.links import LinkOrder, create_link
from application.access.members import put_member, remove_member
from application.access.webhooks import (
    EVENTS,
    WebhookOrder,
    create_webhook,
    disable_webhook,
    list_webhooks,
    remove_webhook,
)
from application.commands.grants import GrantOrder, grant_credits
from application.usage.store import TooMuch
from cli.demo.example_account import ACCOUNT
from server.api.usage_text import ROW_COLUMNS
from streams import clock
from streams.access.records import Webhook
from streams.deliveries.records import Delivery, DeliveryAttempt, DeliveryStatus
from streams.deliveries.topic import Written
from tests.application.contract import wait_until
from tests.application.webhooks.receivers import Receiver, answers, sends
from tests.server.keys import OWNER_OF_ACME
from tests.server.pages.delivering import HOST, delivering
from tests.server.pages.driving import PATIENCE_MS, PHONE, SCREENSHOTS, Person, person
from tests.server.pages.world import ODD, ODD_IDS, OPERATOR, PagesWorld
from tests.server.world import memory_worker, not_loading
from tests.sizes import times_size

pytestmark = [pytest.mark.slow, pytest.mark.chromium, pytest.mark.timeout(900)]

HISTORY = f"/accounts/{ACCOUNT}/history"
ODD_PATH = "/accounts/~PGI-bydkZDwvYj4"
"""Of the account whose id holds markup: base64url."""


def sql(pages: PagesWorld, statement: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in pages.sink.query_text(statement, "JSONEachRow").splitlines()]


@pytest.fixture(scope="module")
def owner(pages: PagesWorld, chromium: Browser) -> Iterator[Person]:
    with person(pages, chromium, pages.link()) as somebody:
        yield somebody


class TestSignIn:
    def test_a_link_signs_in_once(self, pages: PagesWorld, chromium: Browser) -> None:
        link = pages.link()
        with person(pages, chromium) as somebody:
            for _ in range(2):  # a scanner that opens it uses nothing up
                assert somebody.page.request.get(link).status == 200
            somebody.page.set_viewport_size({"width": 800, "height": 420})
            somebody.page.goto(link)
            somebody.picture("sign-in")
            assert somebody.axe() == []
            somebody.sign_in(link)
            assert somebody.page.url == f"{pages.base}/accounts/{ACCOUNT}"
            (cookie,) = [cookie for cookie in somebody.context.cookies() if cookie["name"].endswith("session")]
            assert cookie["httpOnly"]
            assert cookie["sameSite"] == "Lax"
            (zone,) = [cookie for cookie in somebody.context.cookies() if cookie["name"] == "time_zone"]
            assert zone["value"] == "Europe%2FBerlin"
            again = somebody.page.request.get(link)
            assert again.status == 401
            assert "used already" in again.text()

    def test_a_session_ends_by_signing_out_and_opens_no_api(self, pages: PagesWorld, chromium: Browser) -> None:
        with person(pages, chromium, pages.link()) as somebody:
            (cookie,) = [cookie for cookie in somebody.context.cookies() if cookie["name"].endswith("session")]
            name, token = cookie["name"], cookie["value"]
            for headers in ({"cookie": f"{name}={token}"}, {"authorization": f"Bearer {token}"}, {"x-api-key": token}):
                answer = pages.server.ask("GET", f"/v1/accounts/{ACCOUNT}/usage", headers=headers)
                assert answer.status == 401
            assert pages.server.ask("GET", HISTORY, headers={"cookie": f"{name}={token}"}).status == 200
            somebody.open(HISTORY)
            somebody.page.get_by_role("button", name="Sign out").click()
            expect(somebody.page.get_by_role("heading", name="You are signed out")).to_be_visible()
            assert pages.server.ask("GET", HISTORY, headers={"cookie": f"{name}={token}"}).status == 401

    def test_a_form_from_elsewhere_changes_nothing(self, pages: PagesWorld, chromium: Browser) -> None:
        kind = {"content-type": "application/x-www-form-urlencoded"}
        link = pages.link().removeprefix(pages.base)
        for origin in ({}, {"origin": "null"}, {"origin": "http://evil.example"}, {"origin": "http://localhost:1"}):
            assert pages.server.ask("POST", link, headers={**kind, **origin}).status == 403
        with person(pages, chromium, pages.link()) as somebody:
            (cookie,) = [cookie for cookie in somebody.context.cookies() if cookie["name"].endswith("session")]
            headers = {**kind, "origin": "http://localhost", "cookie": f"{cookie['name']}={cookie['value']}"}
            for body in (b"", b"csrf=", b"csrf=forged.forged"):
                assert pages.server.ask("POST", "/sign-out", body, headers=headers).status == 403
            assert somebody.open(HISTORY) == 200

    def test_links_that_open_nothing_say_why(self, pages: PagesWorld) -> None:
        answer = pages.server.ask("GET", "/sign-in/forged.forged")
        assert answer.status == 401
        assert b"there is no such link" in answer.body.lower()
        over = create_link(pages.access, OPERATOR, LinkOrder(Role.OWNER, ACCOUNT, None, "late", 1))
        wait_until(lambda: pages.access.now() > over.link.expires_at, "a millisecond has not passed")
        for method in ("GET", "POST"):
            answer = pages.server.ask(method, f"/sign-in/{over.token}", headers={"origin": "http://localhost"})
            assert answer.status == 401
            assert b"time is over" in answer.body
        assert pages.server.ask("GET", HISTORY).status == 401
        assert pages.server.ask("GET", "/").status == 401

    def test_a_removed_member_is_signed_out(self, pages: PagesWorld, chromium: Browser) -> None:
        put_member(pages.access, OPERATOR, ACCOUNT, "dora", "Dora", "")
        with person(pages, chromium, pages.link(Role.MEMBER, ACCOUNT, "dora")) as somebody:
            assert somebody.open(HISTORY) == 200
            remove_member(pages.access, OPERATOR, ACCOUNT, "dora")
            status = pages.server.ask("GET", HISTORY, headers={"cookie": cookie_of(somebody)}).status
            assert status == 401


def cookie_of(somebody: Person) -> str:
    return "; ".join(f"{cookie['name']}={cookie['value']}" for cookie in somebody.context.cookies())


class TestWhoSeesWhat:
    def test_another_account_is_not_there(self, owner: Person, pages: PagesWorld) -> None:
        headers = {"cookie": cookie_of(owner)}
        for path in ("", "/history", "/history.csv", "/events/x", "/row.csv?event_id=x"):
            for account in ("/accounts/zenith", ODD_PATH):
                assert pages.server.ask("GET", f"{account}{path}", headers=headers).status == 404

    def test_a_member_with_an_actor_sees_only_their_own(self, pages: PagesWorld, chromium: Browser) -> None:
        others = {row["event_id"] for row in sql(pages, "SELECT event_id FROM billed_rows WHERE actor != 'anna'")}
        own = {row["event_id"] for row in sql(pages, "SELECT event_id FROM billed_rows WHERE actor = 'anna'")}
        with person(pages, chromium, pages.link(Role.MEMBER, ACCOUNT, "anna")) as anna:
            for path in ("", "/history?period=all&refunds=true", "/history?period=all&show=event_id&show=actor"):
                assert anna.open(f"/accounts/{ACCOUNT}{path}") == 200
                ids = set(re.findall(r"ev-\d\d-\d{3}", anna.page.content()))
                assert not ids & others
                for name in ("Ben Okafor", "Carla Ruiz", "crm-sync", ">ben<"):
                    assert name not in anna.page.content()
            assert ids <= own
            assert len(ids) > 50
            assert anna.page.request.get(f"{pages.base}{HISTORY}?actor=ben").status == 403
            theirs = anna.page.request.get(f"{pages.base}{HISTORY}.csv?period=all").text()
            assert set(re.findall(r"ev-\d\d-\d{3}", theirs)) & others == set()
            event = min(others)
            assert anna.page.request.get(f"{pages.base}/accounts/{ACCOUNT}/events/{event}").status == 404


class TestOverview:
    @pytest.mark.parametrize(("head", "column"), [("Requests", 0), ("Free repeats", 3), ("Credits", 4)])
    def test_endpoints_are_sorted_by_any_column(self, owner: Person, head: str, column: int) -> None:
        page = owner.page
        owner.open(f"/accounts/{ACCOUNT}?sort=endpoint")
        table = page.get_by_role("region", name="By endpoint")
        names = table.locator("tbody th").all_inner_texts()
        assert names == sorted(names)
        table.get_by_role("link", name=head).click()
        expect(table.locator("th[aria-sort=descending]")).to_contain_text(head)
        page.wait_for_load_state()  # all rows are there, not the first ones only
        figures = [
            number(row.locator("td").nth(column).inner_text()) for row in table.locator("tbody tr").all()
        ]  # fmt: skip
        assert figures == sorted(figures, reverse=True)
        assert len(figures) > 5


class TestHistory:
    def test_filters_pages_and_numbers_are_those_of_the_store(self, owner: Person, pages: PagesWorld) -> None:
        page = owner.page
        assert owner.open(f"{HISTORY}?period=all") == 200
        (count,) = sql(pages, f"SELECT count() AS n FROM billed_rows FINAL WHERE account_id = '{ACCOUNT}'")
        expect(page.get_by_role("heading", name=f"{int(count['n']):,} rows")).to_be_visible()
        assert page.locator("table.rows tbody tr").count() == 100
        first = page.locator("table.rows tbody tr").first.inner_text()
        page.get_by_role("link", name="Older").click()
        expect(page.get_by_role("link", name="Newest")).to_be_visible()
        assert page.locator("table.rows tbody tr").first.inner_text() != first
        page.go_back()
        expect(page.get_by_role("link", name="Newest")).to_have_count(0)
        assert page.locator("table.rows tbody tr").first.inner_text() == first
        page.get_by_role("combobox", name="Feature").select_option("E-mail finder")
        expect(page.get_by_role("link", name="remove this filter")).to_have_count(1)
        (own,) = sql(
            pages,
            f"SELECT count() AS n, sum(credits) AS credits FROM billed_rows FINAL WHERE account_id = '{ACCOUNT}' "
            "AND feature = 'E-mail finder'",
        )
        expect(page.get_by_role("heading", name=f"{int(own['n']):,} rows")).to_be_visible()
        assert page.locator(".figure").first.inner_text() == f"{int(own['credits']):,}"
        page.reload()
        expect(page.get_by_role("combobox", name="Feature")).to_have_value("E-mail finder")
        page.get_by_role("link", name="remove this filter").click()
        expect(page.get_by_role("heading", name=f"{int(count['n']):,} rows")).to_be_visible()

    @pytest.mark.parametrize(
        ("label", "value", "condition"),
        [
            ("Action", "IP lookup", "action = 'IP lookup'"), ("Endpoint", "/v1/company", "endpoint = '/v1/company'"),
            ("User", "ben", "actor = 'ben'"), ("Decision", "duplicate", "decision = 'duplicate'"),
            ("Credit type", "phone", "credit_type = 'phone'"),
        ],
    )  # fmt: skip
    def test_each_filter(self, owner: Person, pages: PagesWorld, label: str, value: str, condition: str) -> None:
        owner.open(f"{HISTORY}?period=all")
        owner.page.get_by_role("combobox", name=label, exact=True).select_option(value)
        where = f"account_id = '{ACCOUNT}' AND {condition}"
        (count,) = sql(pages, f"SELECT count() AS n FROM billed_rows FINAL WHERE {where}")
        expect(owner.page.get_by_role("heading", name=f"{int(count['n']):,} rows")).to_be_visible()

    def test_text_and_time(self, owner: Person, pages: PagesWorld) -> None:
        page = owner.page
        owner.open(f"{HISTORY}?period=all&tz=Asia%2FTokyo")
        page.get_by_label("Contains").fill("req-70-0")
        page.get_by_role("button", name="Apply").first.press("Enter")
        (count,) = sql(pages, "SELECT count() AS n FROM billed_rows FINAL WHERE request_id LIKE '%req-70-0%'")
        expect(page.get_by_role("heading", name=f"{int(count['n']):,} rows")).to_be_visible()
        (day,) = sql(pages, "SELECT toString(toDate(max(occurred_at), 'Asia/Tokyo')) AS day FROM billed_rows")
        owner.open(f"{HISTORY}?from={day['day']}&to={day['day']}&tz=Asia%2FTokyo")
        (count,) = sql(
            pages,
            f"SELECT count() AS n FROM billed_rows FINAL WHERE account_id = '{ACCOUNT}' "
            f"AND toDate(occurred_at, 'Asia/Tokyo') = '{day['day']}'",
        )
        expect(page.get_by_role("heading", name=re.compile(f"^{int(count['n']):,} rows?$"))).to_be_visible()
        owner.open(f"{HISTORY}?tz=Europe%2FBerlin")

    def test_refunds_are_shown_among_the_lines(self, owner: Person, pages: PagesWorld) -> None:
        owner.open(f"{HISTORY}?period=all")
        lines = owner.page.get_by_role("heading", name=re.compile("rows$")).inner_text()
        owner.page.get_by_role("switch", name="Show refunds").click()
        (made,) = sql(
            pages, f"SELECT count() AS n FROM refund_rows FINAL WHERE account_id = '{ACCOUNT}' AND status = 'refunded'"
        )
        assert int(made["n"]) > 3
        total = int(lines.split()[0].replace(",", "")) + int(made["n"])
        expect(owner.page.get_by_role("heading", name=f"{total:,} rows")).to_be_visible()
        owner.open(f"{HISTORY}?period=all&endpoint=%2Fv1%2Femail%2Fverify&refunds=true")
        assert owner.page.locator("tr.refund").first.locator(".c-credits").inner_text().startswith("\u2212")

    def test_the_csv_is_the_choice_row_by_row(self, owner: Person, pages: PagesWorld) -> None:
        owner.open(f"{HISTORY}?period=all&feature=E-mail+finder")
        href = owner.page.get_by_role("link", name="Download CSV").get_attribute("href")
        text = owner.page.request.get(f"{pages.base}{href}").text()
        rows = list(csv.DictReader(io.StringIO(text)))
        assert tuple(rows[0]) == ROW_COLUMNS
        stored = sql(
            pages,
            "SELECT event_id, line, charge, toString(credits) AS credits, "
            "ifNull(toString(balance_after), '') AS balance_after, endpoint, actor FROM billed_rows FINAL "
            f"WHERE account_id = '{ACCOUNT}' AND feature = 'E-mail finder' "
            "ORDER BY occurred_at DESC, event_id DESC, line DESC",
        )
        names = ("event_id", "line", "charge", "credits", "balance_after", "endpoint", "actor")
        assert [[row[name] for name in names] for row in rows] == [[str(row[name]) for name in names] for row in stored]
        assert len(rows) > 500

    def test_the_menu_of_a_row(self, owner: Person, pages: PagesWorld) -> None:
        page = owner.page
        owner.open(f"{HISTORY}?period=all&endpoint=%2Fv1%2Fcompany")
        dots = page.get_by_role("button", name="Menu of row 1", exact=True)
        dots.evaluate("button => button.scrollIntoView({block: 'center'})")
        dots.click()
        owner.picture("history-menu")
        menu = page.locator(".menu:popover-open")
        urls = {link.inner_text(): link.get_attribute("href") or "" for link in menu.get_by_role("link").all()}
        event_id = urls["Why?"].rpartition("/")[2]
        row = list(csv.DictReader(io.StringIO(page.request.get(f"{pages.base}{urls['This row as CSV']}").text())))
        assert [line["event_id"] for line in row] == [event_id]
        assert urls["Open in CRM ↗"].startswith("https://crm.example.com/find?q=")
        for label, start in (("All of the same request", "request id"), ("All of the same domain", "subject")):
            assert owner.page.goto(pages.base + urls[label]) is not None
            expect(page.locator(".chips")).to_contain_text(start)
        page.goto(pages.base + urls["The event\u2019s lines and refunds"])
        expect(page.locator(".chips")).to_contain_text(event_id)
        page.goto(pages.base + urls["Why?"])
        expect(page.get_by_role("heading", level=1)).to_contain_text("Charged")

    def test_columns_are_chosen_and_frozen_and_kept(self, owner: Person) -> None:
        page = owner.page
        owner.open(HISTORY)
        page.get_by_role("button", name="Columns").click()
        page.get_by_label("Show Balance after").check()
        page.get_by_label("Show Attributes").check()
        page.get_by_label("Show Endpoint").check()
        page.get_by_label("Freeze Credits", exact=True).check()
        page.get_by_label("Show User", exact=True).uncheck()
        page.locator("#columns").get_by_role("button", name="Apply").click()
        expect(page.locator("table.rows thead th").first).to_have_text("Credits")
        page.wait_for_load_state()
        heads = page.locator("table.rows thead th").all_inner_texts()
        assert "Balance after" in heads
        assert "User" not in heads
        assert page.locator("td.c-credits").first.evaluate("cell => getComputedStyle(cell).position") == "sticky"
        owner.open(HISTORY)  # the cookie keeps them
        assert page.locator("table.rows thead th").all_inner_texts() == heads
        page.get_by_role("button", name="Columns").click()
        page.get_by_role("link", name="Usual columns").click()
        expect(page.locator("table.rows thead th").first).to_have_text("Date")
        page.wait_for_load_state()
        assert "User" in page.locator("table.rows thead th").all_inner_texts()

    def test_a_chart_has_its_table_and_a_cursor(self, owner: Person) -> None:
        page = owner.page
        owner.open(HISTORY)
        page.locator(".plot").first.hover(position={"x": 500, "y": 120})
        expect(page.locator(".tip")).to_be_visible()
        owner.picture("history")
        page.locator("summary", has_text="Show as table").click()
        table = page.locator(".as-table table")
        expect(table).to_be_visible()
        sums = [int(text.replace(",", "")) for text in table.locator("tbody td:last-child").all_inner_texts()]
        assert sum(sums) == int(page.locator(".figure").first.inner_text().replace(",", ""))

    def test_what_takes_too_long_is_left_out_and_the_rows_are_there(
        self, owner: Person, pages: PagesWorld, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def too_much(*_arguments: object) -> None:
            raise TooMuch("the answer takes too much")

        monkeypatch.setattr("server.pages.history.routes.credits_chart", too_much)
        monkeypatch.setattr("server.pages.history.routes.count_up_to", too_much)
        owner.open(HISTORY)
        expect(owner.page.get_by_text("There is too much to draw at once")).to_be_visible()
        expect(owner.page.get_by_role("heading", name="Rows", exact=True)).to_be_visible()
        assert owner.page.locator("table.rows tbody tr").count() == 100

    def test_wrong_choices_are_named(self, owner: Person, pages: PagesWorld) -> None:
        for query, word in (("period=forever", "period"), ("from=yesterday", "from"), ("cursor=x", "cursor"),
                            ("from=2026-02-01&to=2026-01-01", "to"), ("text=" + "x" * 2_000, "text")):  # fmt: skip
            answer = pages.server.ask("GET", f"{HISTORY}?{query}", headers={"cookie": cookie_of(owner)})
            assert answer.status in {400, 422}
            assert f"<strong>{word}</strong>".encode() in answer.body


SETTINGS = f"/accounts/{ACCOUNT}/settings"


class TestSettings:
    def test_a_key_is_shown_once_reads_and_is_revoked(self, owner: Person, pages: PagesWorld) -> None:
        page = owner.page
        owner.open(SETTINGS)
        page.locator("summary", has_text="Make a key").click()
        form = page.locator("form", has=page.get_by_role("button", name="Make key"))
        form.get_by_label("Name").fill("dashboard")
        form.get_by_label("Ends").select_option("90")
        form.get_by_role("button", name="Make key").click()
        key = page.locator(".notice code").inner_text()
        assert key.startswith("cm_live_")
        page.reload()  # asks for the page, and sends no form
        assert page.locator(".notice").count() == 0
        assert key not in page.content()
        rows = page.get_by_role("region", name="API keys").locator("tbody tr")
        expect(rows).to_have_count(1)
        identity = KeyAuthenticator(pages.access).identify(key)
        assert (identity.role, identity.account_id, identity.name) == (Role.MEMBER, ACCOUNT, "dashboard")
        page.once("dialog", lambda dialog: dialog.accept())
        rows.get_by_role("button", name="Revoke").click()
        expect(rows).to_contain_text("revoked")
        with pytest.raises(KeyRevoked):
            KeyAuthenticator(pages.access).identify(key)

    def test_members_and_links(self, owner: Person, pages: PagesWorld, chromium: Browser) -> None:
        page = owner.page
        owner.open(SETTINGS)
        page.locator("summary", has_text="Add or change a member").click()
        page.get_by_label("Actor, as events name it").fill("eve")
        page.locator("#content").get_by_label("E-mail", exact=True).fill("eve@acme.example")
        member = page.locator("form", has=page.get_by_role("button", name="Save"))
        member.get_by_label("Name", exact=True).fill("Eve Stone")
        member.get_by_role("button", name="Save").click()
        expect(page.get_by_role("region", name="Members")).to_contain_text("Eve Stone")
        page.locator("summary", has_text="Make a sign-in link").click()
        form = page.locator("form", has=page.get_by_role("button", name="Make link"))
        form.get_by_label("For whom").fill("Eve")
        form.get_by_label("Only usage of").select_option("eve")
        form.get_by_role("button", name="Make link").click()
        with person(pages, chromium, page.locator(".notice code").inner_text()) as eve:
            assert eve.open(HISTORY) == 200
            assert eve.page.request.get(pages.base + SETTINGS).status == 403
            assert eve.page.get_by_role("link", name="Settings").count() == 0
        owner.open(SETTINGS)
        page.once("dialog", lambda dialog: dialog.accept())
        page.get_by_role("region", name="Members").locator("tr", has_text="Eve").get_by_role("button").click()
        expect(page.get_by_role("region", name="Members")).not_to_contain_text("Eve Stone")

    def test_webhooks(self, owner: Person, pages: PagesWorld, tmp_path: Path) -> None:
        page = owner.page
        refuses = sends(b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n")
        with delivering(pages, tmp_path, refuses) as receiver:
            url = f"https://{HOST}:{receiver.port}/credits"
            owner.open(SETTINGS)
            page.locator("summary", has_text="Add a webhook").click()
            page.get_by_label("Address").fill(url)
            page.get_by_label("Description").fill("the billing team's")
            page.get_by_label("balance.below").check()
            page.get_by_role("button", name="Add", exact=True).click()
            expect(page.get_by_role("heading", level=1)).to_have_text(url)
            page.locator("summary", has_text="Show").click()
            assert page.locator("code").inner_text().startswith("whsec_")
            page.once("dialog", lambda dialog: dialog.accept())
            page.get_by_role("button", name="Rotate").click()
            secrets = page.locator("#secrets ~ details code")
            expect(secrets).to_have_count(2)
            self.look_at_messages(owner, receiver, secrets.all_text_contents())
        owner.open(SETTINGS)
        expect(page.get_by_role("region", name="Webhooks")).to_contain_text("the billing team's")
        expect(page.get_by_role("region", name="Who changed what").locator("tbody tr").first).to_contain_text(
            "Dana Price"
        )
        assert owner.axe() == []
        owner.picture("settings", whole=True)
        (webhook,) = list_webhooks(pages.access, ACCOUNT)
        disable_webhook(pages.access, OPERATOR, webhook.webhook_id, "410 Gone")
        owner.open(f"/accounts/{ACCOUNT}")
        expect(page.get_by_role("status")).to_contain_text("410 Gone")
        owner.open(f"/accounts/{ACCOUNT}/webhooks/{webhook.webhook_id}")
        assert owner.axe() == []
        expect(page.get_by_role("button", name="Send")).to_have_count(0)
        page.once("dialog", lambda dialog: dialog.accept())
        page.get_by_role("button", name="Remove").click()
        expect(page.locator("#webhooks")).to_be_visible()
        assert list_webhooks(pages.access, ACCOUNT) == []

    def look_at_messages(self, owner: Person, receiver: Receiver, secrets: Sequence[str]) -> None:
        """A test is sent and refused, which the list shows by itself, and sent again and taken."""
        page, asked = owner.page, list[str]()
        messages = page.get_by_role("region", name="What was sent")
        expect(messages).to_contain_text("No messages")
        messages.get_by_role("button", name="Send a test").click()
        expect(messages.locator("tbody tr")).to_contain_text(["webhook.test"])
        expect(messages).to_contain_text(", the last: 503 Service Unavailable")
        messages.get_by_role("link", name="failed").click()
        expect(messages).to_contain_text("No messages")
        messages.get_by_role("link", name="pending").click()
        expect(messages).to_contain_text("webhook.test")  # the next page is there ...
        page.wait_for_load_state()  # ... and its scripts have run

        def agree(dialog: Dialog) -> None:
            asked.append(dialog.message)
            receiver.reply = answers(204)  # not before: a try by the clock would be taken, and nothing be pending
            dialog.accept()

        page.once("dialog", agree)
        page.evaluate("document.getElementById('live').dataset.before = 'yes'; htmx.trigger('#live', 'refresh')")
        expect(page.locator("#live[data-before]")).to_have_count(0)
        messages.get_by_role("button", name="Send again").click()
        expect(page.locator(".notice")).to_contain_text("is sent again")
        assert asked == ["Send this message once more?"]
        expect(messages.locator("tbody tr")).to_contain_text(["delivered"])
        messages.locator("summary").first.click()
        expect(messages.locator("ol li").last).to_contain_text("taken (status 204")
        assert owner.axe() == []
        owner.picture("webhook", whole=True)
        for request in receiver.requests:
            for secret in secrets:
                message = Verifier(secret).verify(request.body, request.headers)
                assert message["type"] == "webhook.test"
        assert len({request.headers["webhook-id"] for request in receiver.requests}) == 1

    def test_what_is_wrong_is_named_and_changes_nothing(self, owner: Person, pages: PagesWorld) -> None:
        kind = {"content-type": "application/x-www-form-urlencoded", "origin": "http://localhost"}
        headers = {**kind, "cookie": cookie_of(owner)}
        owner.open(SETTINGS)
        csrf = owner.page.locator("input[name=csrf]").first.input_value()
        for path, fields, word in (
            ("webhooks", {"url": "ftp://x", "events": "nothing"}, "url"), ("keys", {"role": "operator"}, "role"),
            ("keys", {"role": "producer"}, "role"), ("members", {"actor": ""}, "actor"),
            ("links", {"role": "operator"}, "role"),
        ):  # fmt: skip
            body = urlencode({"csrf": csrf, **fields}).encode()
            answer = pages.server.ask("POST", f"/accounts/{ACCOUNT}/{path}", body, headers=headers)
            assert answer.status == 422
            assert f"<strong>{word}</strong>".encode() in answer.body
        for path in ("/operator", "/operator/status", "/operator/dead-letters", f"/accounts/{ACCOUNT}/support"):
            assert pages.server.ask("GET", path, headers=headers).status == 403

    def test_webhooks_of_others_are_not_there(self, owner: Person, pages: PagesWorld) -> None:
        """Another account's, and one of an operator for every account: not to be seen, and not to be changed."""
        headers = {
            "content-type": "application/x-www-form-urlencoded", "origin": "http://localhost",
            "cookie": cookie_of(owner),
        }  # fmt: skip
        owner.open(SETTINGS)
        fields = {"url": "https://example.com/mine", "events": "refund.made"}
        body = urlencode({"csrf": owner.page.locator("input[name=csrf]").first.input_value(), **fields}).encode()
        for account in (ODD, None):
            foreign = create_webhook(
                pages.access, OPERATOR, WebhookOrder(account, "https://example.com/", ["refund.made"])
            )
            base = f"/accounts/{ACCOUNT}/webhooks/{foreign.webhook_id}"
            assert pages.server.ask("GET", base, headers=headers).status == 404
            for path in ("", "/rotate", "/test", "/deliveries/msg_1", "/remove"):
                assert pages.server.ask("POST", base + path, body, headers=headers).status == 404
            assert list_webhooks(pages.access, account) == [foreign]
            remove_webhook(pages.access, OPERATOR, foreign.webhook_id)


class TestSupport:
    @pytest.fixture(scope="class")
    @classmethod
    def support(cls, pages: PagesWorld, chromium: Browser) -> Iterator[Person]:
        with person(pages, chromium, pages.link(Role.OPERATOR, None)) as somebody:
            yield somebody

    def test_finds_an_account(self, support: Person) -> None:
        page = support.page
        support.open("/")
        assert page.url.endswith("/operator")
        page.get_by_label("Find an account").fill("ACM")
        page.get_by_role("button", name="Find").click()
        expect(page.locator("tbody tr")).to_have_count(1)
        assert support.axe() == []
        page.get_by_role("link", name=ACCOUNT, exact=True).click()
        expect(page.get_by_role("navigation", name=f"Account {ACCOUNT}")).to_be_visible()

    def test_gives_credits(self, support: Person, pages: PagesWorld) -> None:
        page = support.page
        support.open(f"/accounts/{ACCOUNT}/support")
        support.picture("support")
        assert support.axe() == []
        form = page.locator("form", has=page.get_by_role("button", name="Give", exact=True))
        form.get_by_label("Credits", exact=True).fill("1,500")
        form.get_by_label("Credit type").fill("phone")
        form.get_by_label("Reason").fill("goodwill <b>")
        form.get_by_role("button", name="Give", exact=True).click()
        expect(page.get_by_role("status")).to_contain_text("Granted: 1,500 phone credits")
        (row,) = sql(pages, "SELECT credits, reason FROM grant_rows WHERE reason = 'goodwill <b>'")
        assert int(row["credits"]) == 1_500

    def test_shows_what_was_decided_before_it_is_loaded(self, support: Person, pages: PagesWorld) -> None:
        pipeline, headers = pages.server.pipeline, {"cookie": cookie_of(support)}
        with not_loading(memory_worker(pipeline)):
            order = GrantOrder(ODD, "fax", 7_531, clock.now_ms(), grant_id="fax-1")
            grant_credits(pipeline, order, seconds=60)
            for path, shown in (("", b"7,531"), ("/support", b'value="fax"')):
                wait_until(
                    lambda path=path, shown=shown: shown in pages.server.ask(
                        "GET", f"{ODD_PATH}{path}", headers=headers
                    ).body,
                    f"the page {path!r} does not show what was decided",
                )  # fmt: skip
            assert sql(pages, "SELECT 1 FROM grant_rows WHERE grant_id = 'fax-1'") == []

    def test_tries_a_refund_and_makes_it(self, support: Person, pages: PagesWorld) -> None:
        page = support.page
        (row,) = sql(
            pages,
            "SELECT event_id, credits FROM billed_rows WHERE action = 'Company profile' AND decision = 'charged' "
            f"AND account_id = '{ACCOUNT}' ORDER BY occurred_at DESC LIMIT 1",
        )
        support.open(f"/accounts/{ACCOUNT}/support?event_id={row['event_id']}")
        page.get_by_role("button", name="Say what it would do").click()
        expect(page.locator(".list")).to_contain_text("Would be")
        made = f"SELECT count() AS n FROM refund_rows WHERE event_id = '{row['event_id']}'"
        assert int(sql(pages, made)[0]["n"]) == 0
        page.get_by_role("button", name="Give back").click()
        expect(page.get_by_role("status")).to_contain_text("Done.")
        assert int(sql(pages, made)[0]["n"]) == 1
        support.open(f"/accounts/{ACCOUNT}/events/{row['event_id']}")
        expect(page.get_by_role("heading", level=1)).to_contain_text("given back")
        support.picture("why")

    def test_replaces_settings(self, support: Person) -> None:
        page = support.page
        support.open(f"/accounts/{ACCOUNT}/support")
        page.get_by_label("When credits are used up").select_option("reject")
        page.once("dialog", lambda dialog: dialog.accept())
        page.get_by_role("button", name="Replace").click()
        expect(page.get_by_role("status")).to_contain_text("on_empty reject")
        expect(page.get_by_label("When credits are used up")).to_have_value("reject")
        expect(page.get_by_label("Plan (none")).to_have_value("pro")

    def test_sends_a_dead_letter_again(self, support: Person) -> None:
        page = support.page
        support.open("/operator/dead-letters")
        expect(page.locator("tbody tr", has_text="tomorrow")).to_be_visible()
        assert support.axe() == []
        page.once("dialog", lambda dialog: dialog.accept())
        page.locator("tr", has_text="tomorrow").first.get_by_role("button", name="Send again").click()
        expect(page.get_by_role("status")).to_contain_text("Sent again")

    @pytest.mark.parametrize(
        ("path", "text"),
        [
            ("/operator?search=nothing-like-this", "No account"),
            ("/operator/dead-letters?account=nobody", "Nothing was set aside"),
            ("/accounts/nobody-yet", "No credits yet"),
            ("/accounts/nobody-yet/history", "Nothing here yet"),
        ],
    )
    def test_what_is_empty_says_so(self, support: Person, path: str, text: str) -> None:
        assert support.open(path) == 200
        expect(support.page.get_by_role("heading", name=text)).to_be_visible()
        assert support.axe() == []

    def test_sees_the_status(self, support: Person) -> None:
        assert support.open("/operator/status") == 200
        expect(support.page.locator("main")).to_contain_text("worker 2 does not answer")
        assert support.axe() == []
        support.picture("status")


LOOKS = [("desktop", "light"), ("phone", "dark"), ("desktop", "dark"), ("phone", "light")][: times_size(2)]
"""Each width and each scheme, and with CREDITMETER_TEST_SIZE both with both."""


class TestEverywhere:
    PATHS = (
        f"/accounts/{ACCOUNT}", f"{HISTORY}?text=req-70-0&refunds=true", f"{HISTORY}?text=nothing-like-this",
        f"/accounts/{ACCOUNT}/events/ev-70-010", SETTINGS,
    )  # fmt: skip
    """Of the history a few rows: axe looks at each, and a hundred are as one."""
    SUPPORT_PATHS = ("/operator", f"/accounts/{ACCOUNT}/support", "/operator/dead-letters", "/operator/status")

    @pytest.fixture(scope="class")
    @classmethod
    def webhook(cls, pages: PagesWorld) -> str:
        """The page of a webhook to which every kind of message was sent."""
        order = WebhookOrder(ACCOUNT, f"https://{HOST}/credits", EVENTS, "the billing team's")
        webhook = create_webhook(pages.access, OPERATOR, order)
        put_messages(pages, webhook, ["503 Service Unavailable", "no connection: Connection refused", ""])
        return f"/accounts/{ACCOUNT}/webhooks/{webhook.webhook_id}"

    @pytest.mark.parametrize(("width", "scheme"), LOOKS)
    def test_axe_finds_nothing_and_nothing_is_too_wide(
        self, pages: PagesWorld, chromium: Browser, webhook: str, scheme: Any, width: str
    ) -> None:
        viewport = PHONE if width == "phone" else None
        if width == "phone":  # on a desktop those who use these pages look at them
            with person(pages, chromium, pages.link(Role.OPERATOR, None), viewport, color_scheme=scheme) as support:
                self.look_at(support, *self.SUPPORT_PATHS)
        with person(pages, chromium, pages.link(), viewport, color_scheme=scheme) as somebody:
            self.look_at(somebody, *self.PATHS, *([webhook] if width == "phone" else []))
            look = f"{'-phone' if width == 'phone' else ''}{'-dark' if scheme == 'dark' else ''}"
            if SCREENSHOTS:
                somebody.open(self.PATHS[0])
                somebody.picture(f"overview{look}")
            somebody.open(HISTORY)
            assert not somebody.is_too_wide()
            somebody.picture(f"history{look}")

    def look_at(self, somebody: Person, *paths: str) -> None:
        for path in paths:
            assert somebody.open(path) == 200
            assert somebody.axe() == [], path
            assert not somebody.is_too_wide(), path

    def test_without_scripts(self, pages: PagesWorld, chromium: Browser) -> None:
        with person(pages, chromium, pages.link(), java_script_enabled=False) as somebody:
            page = somebody.page
            somebody.open(HISTORY)
            assert page.locator(".drawn svg rect").count() > 20
            page.get_by_role("combobox", name="Feature").select_option("Company data")
            page.get_by_role("button", name="Apply").last.click()
            expect(page.locator(".chips")).to_contain_text("Company data")
            page.get_by_role("link", name="7 days").click()
            page.get_by_role("switch", name="Show refunds").click()
            page.get_by_role("button", name="Menu of row 1", exact=True).click()
            page.get_by_role("link", name="Why?").click()
            expect(page.get_by_role("heading", name="Why it cost what it cost")).to_be_visible()

    def test_with_the_keyboard_alone(self, owner: Person) -> None:
        page = owner.page
        owner.open(HISTORY)
        page.keyboard.press("Tab")
        expect(page.get_by_role("link", name="Skip to content")).to_be_focused()
        for _ in range(60):
            page.keyboard.press("Tab")
            if page.evaluate("document.activeElement?.className") == "dots":
                break
        page.keyboard.press("Enter")
        expect(page.locator(".menu:popover-open")).to_be_visible()
        page.keyboard.press("Tab")
        page.keyboard.press("Enter")
        page.wait_for_url("**/events/*")
        expect(page.get_by_role("heading", level=1)).to_contain_text("harged")

    def test_figures_refresh_and_menus_stay(self, owner: Person, pages: PagesWorld) -> None:
        page = owner.page
        owner.open(f"/accounts/{ACCOUNT}")
        with page.expect_response(
            lambda response: response.request.headers.get("hx-request") == "true", timeout=PATIENCE_MS
        ):
            page.wait_for_timeout(1)
        expect(page.locator(".uplot").first).to_be_visible()


SHOWN = (
    "date", "description", "credits", "user", "event_id", "request_id", "attributes", "reason", "refund_id", "user_id",
)  # fmt: skip


class TestOddTexts:
    def test_they_are_shown_as_texts(self, pages: PagesWorld, chromium: Browser) -> None:
        with person(pages, chromium, pages.link(Role.OWNER, ODD)) as somebody:
            page = somebody.page
            every = "&".join(f"show={name}" for name in SHOWN)
            base = f"{pages.base}{ODD_PATH}"
            assert page.goto(f"{base}/history?refunds=true&{every}").status == 200  # type: ignore[union-attr]
            assert page.locator("script:not([src])").count() == 0
            assert page.locator("table.rows b, table.rows img").count() == 0
            text = page.locator("body").inner_text()  # a value that a form sends back stays as it is
            assert "\u202e" not in text
            assert "\u2066" not in text
            assert "\\u202egnirts" in page.locator("table.rows").inner_text()
            assert page.locator("table.rows tbody tr").count() == 2 * len(ODD_IDS)
            assert somebody.axe() == []
            assert not somebody.is_too_wide()
            urls = [link.get_attribute("href") or "" for link in page.locator(".c-event_id a").all()]
            assert len(set(urls)) == len(ODD_IDS)
            for url in sorted(set(urls)):
                assert page.goto(pages.base + url).status == 200  # type: ignore[union-attr]
                expect(page.get_by_role("heading", level=1)).to_contain_text("Charged 40 credits, 1 credit given back")
                assert page.locator("script:not([src])").count() == 0
                assert not somebody.is_too_wide()
            rows = list(csv.DictReader(io.StringIO(page.request.get(f"{base}/history.csv").text())))
            harmless = {f"'{text}" if text.startswith("=") else text for text in ODD_IDS}
            assert {row["event_id"] for row in rows} == harmless

    def test_they_are_shown_as_texts_in_settings_and_webhooks(self, pages: PagesWorld, chromium: Browser) -> None:
        """Names of members, keys, links and webhooks may hold no control characters; messages and answers may."""
        names = [text for text in ODD_IDS if all(unicodedata.category(letter) != "Cc" for letter in text)]
        for text in names:
            put_member(pages.access, OPERATOR, ODD, text, text, text)
            create_key(pages.access, OPERATOR, KeyOrder(Role.MEMBER, ODD, text, text))
            url = f'https://example.com/?q=<script>alert(1)</script>"><img/src=x>&{"x" * 1_024}'
            webhook = create_webhook(pages.access, OPERATOR, WebhookOrder(ODD, url, EVENTS, text))
        put_messages(pages, webhook, ODD_IDS)
        with person(pages, chromium, pages.link(Role.OWNER, ODD)) as somebody:
            page = somebody.page
            for path in (f"{ODD_PATH}/settings", f"{ODD_PATH}/webhooks/{webhook.webhook_id}"):
                assert somebody.open(path) == 200
                assert page.locator("script:not([src])").count() == 0
                assert page.locator("main b, main img").count() == 0
                text = page.locator("main").text_content() or ""
                assert not {"\u202e", "\u2066", "\u200f"} & set(text)
                for shown in ("\\u202egnirts", "<script>alert(1)</script>", '"><img src=x onerror=alert(1)>'):
                    assert shown in text
                assert somebody.axe() == []
                assert not somebody.is_too_wide()


def put_messages(pages: PagesWorld, webhook: Webhook, errors: Sequence[str]) -> None:
    """A message for each, whose last try ended with it, and which holds it; empty: it was taken."""
    records = []
    for number, error in enumerate(errors):
        ended = {"status": DeliveryStatus.FAILED if error else DeliveryStatus.DELIVERED, "reason": error}
        records.append(
            Delivery(
                delivery_id=f"msg_{webhook.webhook_id}_{number}", webhook_id=webhook.webhook_id, tries=1,
                account_id=webhook.account_id, event=EVENTS[number % len(EVENTS)], created_at=pages.now + number,
                payload=json.dumps({"data": {"account_id": webhook.account_id, "reason": error}}, ensure_ascii=False),
                attempts=(DeliveryAttempt(pages.now + number, 12, None, error),), finished_at=pages.now, **ended,
            )
        )  # fmt: skip
    pages.server.pipeline.delivery_topic.write([Written(0, record) for record in records])


def number(shown: str) -> int:
    """The first figure of a text: `8,111 of 17,000 granted`."""
    return int(shown.split(maxsplit=1)[0].replace(",", "").replace("\u2212", "-"))


class TestNumbers:
    """What a page says is what the API and SQL say."""

    def test_balances(self, owner: Person, pages: PagesWorld) -> None:
        owner.open(f"/accounts/{ACCOUNT}")
        standing = pages.server.ask("GET", f"/v1/accounts/{ACCOUNT}", key=OWNER_OF_ACME).json["credits"]
        view = f"SELECT credit_type, balance, held, available FROM balances WHERE account_id = '{ACCOUNT}'"
        stored = {row["credit_type"]: row for row in sql(pages, view)}
        for name, figures in standing.items():
            card = owner.page.locator(f".figures .card[aria-label='{name}']")
            terms, values = card.locator("dt").all_inner_texts(), card.locator("dd").all_inner_texts()
            shown = {term: number(text) for term, text in zip(terms, values, strict=True) if term != "Next grant ends"}
            assert number(card.locator(".big").inner_text()) == figures["available"] == int(stored[name]["available"])
            assert shown["Balance"] == figures["balance"] == int(stored[name]["balance"])
            assert shown.get("Held for work in hand", 0) == figures["held"] == int(stored[name]["held"])
            assert shown["Used this period"] == figures["used"]
            assert shown.get("Given back this period", 0) == figures["refunded"]
        assert {"credits", "phone"} <= set(standing)

    def test_usage(self, owner: Person, pages: PagesWorld) -> None:
        days = "SELECT toString(max(day) - 1) AS before, toString(max(day)) AS last FROM billed_events"
        ((day, next_day),) = (row.values() for row in sql(pages, days))
        asked = {
            "from": f"{day}T00:00:00Z", "to": f"{next_day}T00:00:00Z", "group_by": ["feature"],
            "measures": ["credits"], "filters": {"credit_type": ["credits"]},
        }  # fmt: skip
        answer = pages.server.post(f"/v1/accounts/{ACCOUNT}/usage/query", asked, key=OWNER_OF_ACME).json
        by_feature = {cell["group"]["feature"]: cell["credits"] for cell in answer["cells"] if cell["credits"]}
        stored = sql(
            pages,
            f"SELECT feature, sum(credits) AS credits FROM billed_events WHERE account_id = '{ACCOUNT}' "
            f"AND day = '{day}' AND credit_type = 'credits' GROUP BY feature HAVING credits > 0",
        )
        owner.open(f"{HISTORY}?from={day}&to={day}&tz=UTC&credit_type=credits")
        legend = owner.page.locator(".legend li")
        shown = {entry.locator(".name").inner_text(): number(entry.locator("b").inner_text()) for entry in legend.all()}
        assert shown == by_feature == {row["feature"]: int(row["credits"]) for row in stored}
        assert shown
        owner.open(f"{HISTORY}?tz=Europe%2FBerlin")
