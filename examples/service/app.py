"""An enrichment API that charges by credits: what each endpoint found is recorded, and callers are told its price.

Run it: `uvicorn --factory app:app` (README.md). `make_app(meter)` takes any meter; the tests give it one in memory.
"""

import os
from typing import Annotated, Any

from creditmeter_client import HttpTransport, Meter, Usage, new_id
from creditmeter_client.middleware import (
    Admission,
    Call,
    CreditMiddleware,
    MiddlewareSettings,
    RoutePolicy,
    current_call,
)
from data import ACCOUNTS, DOMAINS, PEOPLE, UpstreamDown, company_of
from fastapi import BackgroundTasks, Depends, FastAPI, Header, HTTPException, Query
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from starlette.requests import Request
from webhook import deliver, is_allowed

LARGEST_PAGE = 100


def account_of_key(x_api_key: Annotated[str | None, Header()] = None) -> str:
    account_id = ACCOUNTS.get(x_api_key or "")
    if account_id is None:
        raise HTTPException(401, "send the header x-api-key")
    current_call().account_id = account_id
    return account_id


Account = Annotated[str, Depends(account_of_key)]


def describe(call: Call) -> Usage | None:
    """What a call used: who pays, which endpoint, and what the handler found. None: it costs nothing."""
    account_id = call.account_id or ACCOUNTS.get(call.headers.get("x-api-key", ""))
    if account_id is None or not call.path.startswith("/v1/") or call.path == "/v1/bulk/domains":
        return None  # nobody to charge; the bulk endpoint records an event for each domain
    return call.usage(account_id, call.path, actor=call.headers.get("x-user"))


def largest_search(call: Call) -> Usage | None:
    """The most that a search can cost, before it is made: a full page."""
    account_id = ACCOUNTS.get(call.headers.get("x-api-key", ""))
    return account_id and call.usage(account_id, call.path, quantities={"results": LARGEST_PAGE})


class BulkSettings(BaseModel):
    webhook: str | None = None
    """Where the result is sent, instead of being the answer."""


class Domains(BaseModel):
    domains: list[str] = Field(max_length=5_000)
    settings: BulkSettings = BulkSettings()


def make_app(meter: Meter, **settings: Any) -> FastAPI:
    app = FastAPI(title="Enrichment")
    policies = {"/v1/people": RoutePolicy(Admission.HOLD, expected=largest_search)}
    app.add_middleware(
        CreditMiddleware, meter=meter, settings=MiddlewareSettings(describe, routes=policies, **settings)
    )

    @app.exception_handler(UpstreamDown)
    def upstream_down(request: Request, error: UpstreamDown) -> JSONResponse:
        return JSONResponse({"detail": "try again later"}, 503)  # outcome failed: not charged

    @app.get("/v1/ip")
    def ip_lookup(account: Account, address: str) -> dict[str, Any]:
        current_call().subjects["ip"] = address
        company = company_of(address)
        current_call().found(results=int(company is not None))
        return {"ip": address, "domain": company}

    @app.get("/v1/domain")
    def domain(account: Account, name: str) -> dict[str, Any]:
        current_call().subjects["domain"] = name
        company = DOMAINS.get(name.lower())
        current_call().found(results=int(company is not None))
        return {"domain": name, "company": company}

    @app.get("/v1/people")
    def people(account: Account, page: Annotated[int, Query(ge=1)] = 1, size: int = 25) -> dict[str, Any]:
        size = min(size, LARGEST_PAGE)
        rows = PEOPLE[(page - 1) * size : page * size]
        current_call().found(results=len(rows))
        current_call().attributes["page"] = str(page)
        return {"page": page, "people": rows}

    @app.post("/v1/bulk/domains")
    def bulk(account: Account, body: Domains, tasks: BackgroundTasks) -> Any:
        url = body.settings.webhook
        if url is not None and not is_allowed(url):
            raise HTTPException(422, "settings.webhook must be an https address")
        call = current_call()
        for name in body.domains:  # one event for each, so that each is charged once ever
            call.usages.append(Usage(account, "/v1/domain", domain=name, quantities={"results": int(name in DOMAINS)}))
        result = {"job": new_id(), "companies": {name: DOMAINS.get(name) for name in body.domains}}
        if url is None:
            return result
        tasks.add_task(deliver, url, result)
        return JSONResponse({"job": result["job"]}, 202, background=tasks)

    @app.get("/health")
    def health() -> dict[str, str]:
        return {"status": "ok"}

    return app


def app() -> FastAPI:
    """For `uvicorn --factory app:app`."""
    transport = HttpTransport(os.environ.get("METER_URL", "http://127.0.0.1:8128"), os.environ["METER_KEY"])
    return make_app(Meter(transport))
