"""The refusals of a Bot API server."""

from __future__ import annotations

from typing import Any


class ApiError(Exception):
    """A refusal: HTTP status, description, and what a client may do about it."""

    def __init__(self, code: int, description: str, parameters: dict[str, Any] | None = None) -> None:
        super().__init__(description)
        self.code, self.description, self.parameters = code, description, parameters


class DroppedConnectionError(Exception):
    """The connection ends without an answer."""


def bad_request(problem: str) -> ApiError:
    return ApiError(400, f"Bad Request: {problem}")


def forbidden(problem: str) -> ApiError:
    return ApiError(403, f"Forbidden: {problem}")


def conflict(problem: str) -> ApiError:
    return ApiError(409, f"Conflict: {problem}")


def too_many(retry_after: int) -> ApiError:
    return ApiError(429, f"Too Many Requests: retry after {retry_after}", {"retry_after": retry_after})
