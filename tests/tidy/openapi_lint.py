#!/usr/bin/env python3
"""Lints an OpenAPI 3.1 document with the standard library only: openapi_lint.py [FILE]. Exit status 1 with findings."""
import json
import re
import sys

METHODS = {"get", "put", "post", "delete", "patch", "head", "options", "trace"}
TYPES = {"string", "integer", "number", "boolean", "object", "array", "null"}
MEDIA = re.compile(r"^[a-z]+/[a-z0-9.+-]+$")
found = []


def say(where, what):
    found.append(f"{where}: {what}")


def unique(pairs):
    names = [name for name, _ in pairs]
    for name in {n for n in names if names.count(n) > 1}:
        say("document", f"the key {name!r} is there twice")
    return dict(pairs)


def resolve(document, reference):
    at = document
    if not reference.startswith("#/"):
        return None
    for part in reference[2:].split("/"):
        if not isinstance(at, dict) or part not in at:
            return None
        at = at[part]
    return at


def follow(document, value):
    return resolve(document, value["$ref"]) if isinstance(value, dict) and "$ref" in value else value


def check_references(document, value, where, used):
    if isinstance(value, list):
        for i, item in enumerate(value):
            check_references(document, item, f"{where}[{i}]", used)
    if not isinstance(value, dict):
        return
    for key, member in value.items():
        if key == "$ref" and isinstance(member, str):
            used.add(member)
            if resolve(document, member) is None:
                say(where, f"{member} leads nowhere")
        check_references(document, member, f"{where}/{key}", used)


def check_schema(schema, where):
    if not isinstance(schema, dict) or "$ref" in schema:
        return
    kinds = schema.get("type", [])
    for kind in [kinds] if isinstance(kinds, str) else kinds:
        if kind not in TYPES:
            say(where, f"unknown type {kind!r}")
    properties = schema.get("properties", {})
    for name in schema.get("required", []):
        if name not in properties:
            say(where, f"required member {name!r} is not described")
    if "array" in kinds and "items" not in schema:
        say(where, "an array without items")
    if "pattern" in schema:
        re.compile(schema["pattern"])
    for name, member in properties.items():
        check_schema(member, f"{where}.{name}")
    for key in ("items", "additionalProperties"):
        check_schema(schema.get(key), f"{where}.{key}")
    for key in ("allOf", "oneOf", "anyOf"):
        for i, member in enumerate(schema.get(key, [])):
            check_schema(member, f"{where}.{key}[{i}]")


def matches(document, schema, value, where):
    """A small validator: enough to keep the examples honest."""
    schema = follow(document, schema)
    if not isinstance(schema, dict):
        return
    for member in schema.get("allOf", []):
        matches(document, member, value, where)
    kinds = schema.get("type")
    if kinds:
        kinds = [kinds] if isinstance(kinds, str) else kinds
        real = {
            bool: "boolean", int: "integer", float: "number", str: "string", dict: "object", list: "array",
            type(None): "null",
        }[type(value)]
        if real not in kinds and not (real == "integer" and "number" in kinds):
            say(where, f"the example has {real} where {kinds} is said")
            return
    if "enum" in schema and value not in schema["enum"]:
        say(where, f"the example's {value!r} is not in the enum")
    if isinstance(value, str) and "pattern" in schema and not re.search(schema["pattern"], value):
        say(where, f"the example's {value!r} does not match {schema['pattern']}")
    if isinstance(value, dict):
        properties = schema.get("properties", {})
        for name in schema.get("required", []):
            if name not in value:
                say(where, f"the example lacks {name!r}")
        for name, member in value.items():
            if name in properties:
                matches(document, properties[name], member, f"{where}.{name}")
            elif schema.get("additionalProperties") is False:
                say(where, f"the example has {name!r}, which the schema forbids")
    if isinstance(value, list):
        for i, item in enumerate(value):
            matches(document, schema.get("items"), item, f"{where}[{i}]")


def check_content(document, content, where):
    for media, body in content.items():
        if not MEDIA.match(media):
            say(where, f"{media!r} is no media type")
        if "schema" not in body:
            say(where, f"{media} has no schema")
        check_schema(body.get("schema"), f"{where} {media}")
        if "example" in body and media.endswith("json"):
            matches(document, body.get("schema"), body["example"], f"{where} {media} example")


def check_operation(document, path, method, operation, ids):
    where = f"{method.upper()} {path}"
    for key in ("operationId", "summary", "tags", "responses"):
        if not operation.get(key):
            say(where, f"{key} is missing")
    if operation.get("operationId") in ids:
        say(where, f"operationId {operation['operationId']} is there twice")
    ids.add(operation.get("operationId"))
    known = {tag["name"] for tag in document.get("tags", [])}
    for tag in operation.get("tags", []):
        if tag not in known:
            say(where, f"tag {tag!r} is not described")
    named = set()
    for parameter in operation.get("parameters", []):
        parameter = follow(document, parameter) or {}
        for key in ("name", "in", "schema", "description"):
            if key not in parameter:
                say(where, f"a parameter without {key}: {parameter.get('name')}")
        if (parameter.get("name"), parameter.get("in")) in named:
            say(where, f"parameter {parameter['name']} is there twice")
        named.add((parameter.get("name"), parameter.get("in")))
        if parameter.get("in") == "path" and parameter.get("required") is not True:
            say(where, f"path parameter {parameter['name']} must be required")
        check_schema(parameter.get("schema"), f"{where} {parameter.get('name')}")
    in_path = set(re.findall(r"{([^}]+)}", path))
    declared = {name for name, place in named if place == "path"}
    if in_path != declared:
        say(where, f"path parameters: {sorted(in_path)} in the path, {sorted(declared)} described")
    if "requestBody" in operation:
        check_content(document, operation["requestBody"].get("content", {}), f"{where} request")
    problem = False
    for status, response in operation.get("responses", {}).items():
        if not re.match(r"^([1-5][0-9][0-9]|default)$", status):
            say(where, f"{status!r} is no status")
        response = follow(document, response) or {}
        if not response.get("description"):
            say(where, f"response {status} has no description")
        problem = problem or "application/problem+json" in response.get("content", {})
        check_content(document, response.get("content", {}), f"{where} {status}")
    if not problem:
        say(where, "no response is a problem document")


def main():
    file = sys.argv[1] if len(sys.argv) > 1 else "src/http/api/openapi.json"
    with open(file, encoding="utf-8") as stream:
        document = json.load(stream, object_pairs_hook=unique)
    if not str(document.get("openapi", "")).startswith("3.1."):
        say("document", "openapi must be 3.1.x")
    for key in ("title", "version"):
        if not document.get("info", {}).get(key):
            say("info", f"{key} is missing")
    used = set()
    check_references(document, document, "#", used)
    ids = set()
    for path, methods in document.get("paths", {}).items():
        for method, operation in methods.items():
            if method not in METHODS:
                say(path, f"unknown method {method!r}")
                continue
            check_operation(document, path, method, operation, ids)
    for kind in ("schemas", "responses", "parameters"):
        for name, value in document.get("components", {}).get(kind, {}).items():
            if f"#/components/{kind}/{name}" not in used:
                say(f"components/{kind}", f"{name} is used nowhere")
            if kind == "schemas":
                check_schema(value, name)
    for line in found:
        print(line)
    print(f"{len(ids)} operations, {len(found)} findings", file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
