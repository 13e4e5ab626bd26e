"""Requests drawn from the server's own description, good and bad: it never fails, and says in a line what is wrong."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from helpers.web_server import npz_bytes, serving, small_answers
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orvpe.web.app import Limits, make_app

QUIET = settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
PATIENT = settings(QUIET, max_examples=4)  # where every request starts a process


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    app = make_app(small_answers(tmp_path_factory.mktemp("served")), Limits(upload_bytes=1 << 20, read_seconds=60))
    with serving(app) as address, httpx.Client(base_url=address, timeout=120) as client:
        yield client


@pytest.fixture(scope="module")
def described(client: httpx.Client) -> dict[str, Any]:
    found = client.get("/api/openapi.json").json()
    assert set(found["paths"]) == {*READ, *ASKED, CLIP, UPLOAD}  # nothing is left out below
    return found


READ = ("/api/health", "/api/models", "/api/samples", "/api/map")
ASKED = ("/api/embed", "/api/classify", "/api/search", "/api/compare")
CLIP, UPLOAD = "/api/clips/{identity}", "/api/clips"


# --- a description read as JSON Schema ------------------------------------------------------------------------


def resolved(schema: dict[str, Any], root: dict[str, Any]) -> dict[str, Any]:
    while "$ref" in schema:
        place: Any = root
        for name in schema["$ref"].removeprefix("#/").split("/"):
            place = place[name]
        schema = place
    return schema


def problems(value: Any, schema: dict[str, Any], root: dict[str, Any], where: str = "") -> list[str]:
    """Where a value departs from a schema; of JSON Schema what FastAPI writes, and an unknown word is a problem too."""
    schema = resolved(schema, root)
    known = {
        "anyOf", "enum", "const", "type", "properties", "required", "additionalProperties", "items", "minItems",
        "maxItems", "minimum", "maximum", "minLength", "maxLength", "title", "description", "default", "examples",
    }  # fmt: skip
    found = [f"{where}: the description has {word!r}, which this test does not know" for word in set(schema) - known]
    if "anyOf" in schema:
        each = [problems(value, one, root, where) for one in schema["anyOf"]]
        return [*found, *([] if any(not one for one in each) else min(each, key=len))]
    if "const" in schema and value != schema["const"]:
        found.append(f"{where}: {value!r}, expected {schema['const']!r}")
    if "enum" in schema and value not in schema["enum"]:
        found.append(f"{where}: {value!r} is none of {schema['enum']}")
    kinds = {"object": dict, "array": list, "string": str, "number": (int, float), "integer": int, "boolean": bool}
    kind = schema.get("type")
    if kind == "null":
        return found if value is None else [*found, f"{where}: {value!r}, expected null"]
    if kind is not None and (not isinstance(value, kinds[kind]) or (kind != "boolean" and isinstance(value, bool))):
        return [*found, f"{where}: {value!r}, expected {kind}"]
    if isinstance(value, dict):
        for name in schema.get("required", []):
            if name not in value:
                found.append(f"{where}.{name}: missing")
        for name, inside in value.items():
            if name in schema.get("properties", {}):
                found += problems(inside, schema["properties"][name], root, f"{where}.{name}")
            elif schema.get("properties") is not None:
                found.append(f"{where}.{name}: not described")
    if isinstance(value, list):
        if not schema.get("minItems", 0) <= len(value) <= schema.get("maxItems", len(value)):
            found.append(f"{where}: {len(value)} items")
        for i, inside in enumerate(value):
            found += problems(inside, schema.get("items", {}), root, f"{where}[{i}]")
    if kind in ("number", "integer") and not schema.get("minimum", value) <= value <= schema.get("maximum", value):
        found.append(f"{where}: {value} out of range")
    return found


def test_the_judge_sees_what_is_wrong() -> None:
    root = {"two": {"type": "array", "items": {"type": "number"}, "minItems": 2, "maxItems": 2}}
    schema = {
        "type": "object", "required": ["a"],
        "properties": {"a": {"$ref": "#/two"}, "b": {"anyOf": [{"type": "string"}, {"type": "null"}]}},
    }  # fmt: skip
    assert not problems({"a": [1, 2.5], "b": None}, schema, root)
    for wrong in ({}, [], {"a": [1]}, {"a": [1, "x"]}, {"a": [1, True]}, {"a": [1, 2], "b": 3}, {"a": [1, 2], "c": 1}):
        assert problems(wrong, schema, root), wrong


# --- requests -------------------------------------------------------------------------------------------------


TEXT = st.text(max_size=60) | st.sampled_from(["", "\0", "\ud800", "../../etc/passwd", "走る", "a\nb", "x" * 5000])
NUMBERS = st.integers() | st.floats() | st.sampled_from([10**400, -(2**63), 1e308, -0.0])
ANYTHING = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXT,
    lambda inside: st.lists(inside, max_size=4) | st.dictionaries(st.text(max_size=8), inside, max_size=4),
    max_leaves=12,
)


@cache
def nested(depth: int) -> Any:
    return [] if not depth else [nested(depth - 1)]


def fitting(schema: dict[str, Any], root: dict[str, Any], name: str = "") -> st.SearchStrategy[Any]:
    """Values that a schema allows."""
    schema = resolved(schema, root)
    if "anyOf" in schema:
        return st.one_of(*(fitting(one, root, name) for one in schema["anyOf"]))
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    kind = schema.get("type")
    low, high = schema.get("minimum"), schema.get("maximum")
    if kind == "object":
        required = {n: fitting(s, root, n) for n, s in schema["properties"].items() if n in schema.get("required", [])}
        other = {n: fitting(s, root, n) for n, s in schema["properties"].items() if n not in required}
        return st.fixed_dictionaries(required, optional=other)
    if kind == "array":
        return st.lists(fitting(schema["items"], root), min_size=schema.get("minItems", 0), max_size=schema["maxItems"])
    if kind == "number":
        return st.floats(low, high, allow_nan=False) | st.floats(-2, 2)
    if kind == "integer":
        return st.integers(low, high)
    if kind == "null":
        return st.none()
    assert kind == "string"
    return st.sampled_from(["sample-0", "sample-1", "gone"]) if name == "clip" else TEXT


def spoilt(good: Any, data: st.DataObject) -> Any:
    """The same with something wrong somewhere: a field left out, renamed or added, or anything in place of a value."""
    what = data.draw(st.sampled_from(["swap", "drop", "add", "inside", "whole", "deep"]))
    if what == "deep":
        return {**good, "part": nested(data.draw(st.sampled_from([5, 60])))} if isinstance(good, dict) else nested(60)
    if isinstance(good, dict) and good and what != "whole":
        name = data.draw(st.sampled_from(sorted(good)))
        if what == "inside":
            return {**good, name: spoilt(good[name], data)}
        if what == "swap":
            return {**good, name: data.draw(ANYTHING)}
        if what == "add":
            return {**good, data.draw(TEXT): data.draw(ANYTHING)}
        return {k: v for k, v in good.items() if k != name}
    if isinstance(good, list) and good and what in ("inside", "drop"):
        return [spoilt(good[0], data), *good[1:]] if what == "inside" else good[1:]
    return data.draw(ANYTHING)


def check(response: Any, operation: dict[str, Any], root: dict[str, Any]) -> None:
    """Never an error of the server's own; what it says is as it is described."""
    code = response.status_code
    assert code < 500, response.text
    assert response.headers["content-type"] == "application/json"
    body = response.json()
    json.dumps(body, allow_nan=False)  # NaN is no JSON
    assert str(code) in operation["responses"], (code, response.text)
    declared = operation["responses"][str(code)]["content"]["application/json"]["schema"]
    assert not problems(body, declared, root)
    if code >= 400:
        assert set(body) == {"detail"}
        assert body["detail"]
        assert len(body["detail"]) <= 1000
        assert len(body["detail"].splitlines()) == 1, body


def post(client: httpx.Client, path: str, value: Any) -> Any:
    """As a careless client would: NaN and lone surrogates go out as they are."""
    return client.post(path, content=json.dumps(value).encode(), headers={"content-type": "application/json"})


def test_what_can_be_read_is_as_described(client: httpx.Client, described: dict[str, Any]) -> None:
    for path in READ:
        check(client.get(path), described["paths"][path]["get"], described)


@given(data=st.data())
@QUIET
def test_clips_by_any_name(client: httpx.Client, described: dict[str, Any], data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(["sample-0", "sample-5"]) | TEXT.filter(lambda t: t.isprintable()))
    path = CLIP.format(identity=quote(name, safe="", errors="surrogatepass"))
    response = client.get(path)
    if not name or name in (".", "..") or "/" in name:  # another address
        assert response.status_code < 500
        return
    check(response, described["paths"][CLIP]["get"], described)


@pytest.mark.parametrize("path", ASKED)
@given(data=st.data())
@QUIET
def test_questions(client: httpx.Client, described: dict[str, Any], path: str, data: st.DataObject) -> None:
    operation = described["paths"][path]["post"]
    schema = operation["requestBody"]["content"]["application/json"]["schema"]
    asked = data.draw(fitting(schema, described))
    if data.draw(st.booleans()):
        asked = spoilt(asked, data)
        check(post(client, path, asked), operation, described)
    else:
        response = post(client, path, asked)
        check(response, operation, described)
        assert response.status_code == (404 if asked["clip"] == "gone" else 200), response.text


def test_an_upload_is_as_described(client: httpx.Client, described: dict[str, Any]) -> None:
    sent = client.post(UPLOAD, files={"file": ("a.npz", npz_bytes())})
    assert sent.status_code == 200
    check(sent, described["paths"][UPLOAD]["post"], described)


@given(data=st.data())
@PATIENT
def test_uploads_of_all_kinds(client: httpx.Client, described: dict[str, Any], data: st.DataObject) -> None:
    operation = described["paths"][UPLOAD]["post"]
    schema = resolved(operation["requestBody"]["content"]["multipart/form-data"]["schema"], described)
    fields = {n: s for n, s in schema["properties"].items() if n != "file"}
    drawn = {n: fitting(s, described) for n, s in fields.items() if data.draw(st.booleans())}
    form = {n: str(data.draw(values)) for n, values in drawn.items()}
    if data.draw(st.booleans()):
        form[data.draw(st.sampled_from([*fields, "other"]))] = data.draw(TEXT)
    form = {n: v.encode(errors="replace").decode() for n, v in form.items()}
    content = data.draw(st.sampled_from([npz_bytes(), npz_bytes()[:200]]) | st.binary(max_size=200))
    name = data.draw(st.sampled_from(["a.npz", "a.json", "a.bvh", "a.csv", "a.mp4", "走る.npz"]))
    files = {"file": (name, content)} if data.draw(st.integers(0, 4)) else None
    check(client.post(UPLOAD, data=form, files=files), operation, described)
