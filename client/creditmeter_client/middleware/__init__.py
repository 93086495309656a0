"""Middleware for web applications: records each call, tells its credits, asks before the work, keeps rate limits."""

from creditmeter_client.middleware.asgi import CreditMiddleware
from creditmeter_client.middleware.calls import Call, current_call
from creditmeter_client.middleware.policies import Admission, MiddlewareSettings, RoutePolicy, WhenAway
from creditmeter_client.middleware.rate_limits import RateLimit, RateLimits, rate_limits_of_book
from creditmeter_client.middleware.wsgi import WsgiCreditMiddleware

__all__ = [
    "Admission",
    "Call",
    "CreditMiddleware",
    "MiddlewareSettings",
    "RateLimit",
    "RateLimits",
    "RoutePolicy",
    "WhenAway",
    "WsgiCreditMiddleware",
    "current_call",
    "rate_limits_of_book",
]
