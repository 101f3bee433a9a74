"""The description of the API, made from the routes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec

from determined.master.api.routing import Access, RouteInfo

_IN_PATH: Final = re.compile(r"{(\w+)}")
_REFERENCE: Final = "#/components/schemas/{name}"


def describe(infos: Iterable[RouteInfo], version: str) -> dict[str, Any]:
    """An OpenAPI document for the routes."""
    every = list(infos)
    shapes = [shape for info in every for shape in (info.request, info.answer) if shape is not None]
    schemas, components = msgspec.json.schema_components(shapes, ref_template=_REFERENCE)
    # Shapes may be unhashable, so they are found again by their place.
    left = iter(schemas)
    paths: dict[str, dict[str, Any]] = {}
    for info in every:
        request = next(left) if info.request is not None else None
        answer = next(left) if info.answer is not None else None
        paths.setdefault(info.path, {})[info.method.lower()] = _operation(info, request, answer)
    return {
        "openapi": "3.1.0",
        "info": {"title": "determined-search", "version": version, "description": _ABOUT},
        "paths": paths,
        "components": {
            "schemas": {**components, "Error": _ERROR},
            "securitySchemes": {
                "user": {"type": "http", "scheme": "bearer"},
                "run": {"type": "apiKey", "in": "header", "name": "Grpc-Metadata-x-allocation-token"},
            },
        },
    }


def _operation(info: RouteInfo, request: Any, answer: Any) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": f"{info.method.lower()}{re.sub(r'[^0-9A-Za-z]+', '_', info.path)}".strip("_"),
        "summary": info.summary,
        "parameters": [*_path_parameters(info.path), *_query_parameters(info.parameters)],
        "responses": {"200": _success(info, answer), "default": _FAILURE},
        "security": _SECURITY[info.access],
    }
    if request is not None:
        operation["requestBody"] = {"content": {"application/json": {"schema": request}}}
    return operation


def _path_parameters(path: str) -> list[dict[str, Any]]:
    names = _IN_PATH.findall(path)
    return [{"name": n, "in": "path", "required": True, "schema": {"type": "string"}} for n in names]


def _query_parameters(names: Iterable[str]) -> list[dict[str, Any]]:
    return [{"name": n, "in": "query", "required": False, "schema": {"type": "string"}} for n in names]


def _success(info: RouteInfo, answer: Any) -> dict[str, Any]:
    if answer is None:
        return {"description": "the file"}
    if info.streams:
        line = {"type": "object", "properties": {"result": answer}}
        return {"description": "one such object per line", "content": {"application/json": {"schema": line}}}
    return {"description": "success", "content": {"application/json": {"schema": answer}}}


_ABOUT: Final = (
    "Field names may be sent in camelCase or snake_case. Success is always status 200; 64-bit integers are strings in "
    "answers; non-finite numbers are the strings NaN, Infinity and -Infinity."
)
_SECURITY: Final[Mapping[Access, list[dict[str, list[str]]]]] = {
    Access.PUBLIC: [],
    Access.USER: [{"user": []}],
    Access.RUN: [{"user": []}, {"run": []}],
}
_ERROR: Final = {
    "type": "object",
    "properties": {
        "message": {"type": "string"},
        "error": {
            "type": "object",
            "properties": {
                "code": {"type": "integer"},
                "reason": {"type": "string"},
                "error": {"type": "string"},
            },
        },
    },
    "required": ["message", "error"],
}
_FAILURE: Final = {
    "description": "what went wrong",
    "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}},
}
