"""What of the OpenAPI description does not follow from the functions: raw bodies, the token, and true answers."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from ltsh_deploy.server_config import ServerConfig

__all__ = ["POSES_BODY", "describe"]

_BINARY = {"schema": {"type": "string", "format": "binary"}}
#: Of the path that takes pictures.
POSES_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            **dict.fromkeys(("image/jpeg", "image/png", "image/webp", "application/octet-stream"), _BINARY),
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "properties": {"image": {"type": "array", "items": _BINARY["schema"], "minItems": 1}},
                    "required": ["image"],
                },
            },
        },
    }
}


def describe(app: FastAPI, config: ServerConfig, open_paths: frozenset[str]) -> dict[str, Any]:
    """The description of an application.

    Args:
        app: with all its paths.
        config: whether there is a token.
        open_paths: those that need none.
    """
    found = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
    if config.token is not None:
        found.setdefault("components", {})["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
        for path, operations in found["paths"].items():
            if path not in open_paths:
                for operation in operations.values():
                    operation["security"] = [{"token": []}]
    return found
