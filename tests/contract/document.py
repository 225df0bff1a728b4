"""Stripe's API as the description in `stripe.json` has it: what may be asked, and what is answered."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, cast
from urllib.parse import parse_qsl

from tests.contract.checks import Check, Checks, Fault, JsonObject

PATH = Path(__file__).parent / "stripe.json"
_EVENTS_OF = {
    "dispute": ("charge.dispute",),
    "refund": ("refund", "charge.refund"),
    "subscription": ("customer.subscription",),
}
"""What the events of an object are called, where they are not called as it is."""
_PARTS = re.compile(r"[^\[\]]+|(?<=\[)(?=\])")


@dataclass(frozen=True)
class Operation:
    """One request."""

    verb: str
    path: str
    asked: Check
    answered: Check

    def __str__(self) -> str:
        return f"{self.verb} {self.path}"


class Document:
    """The description, with a check for everything in it."""

    def __init__(self, document: JsonObject) -> None:
        self.version: str = document["info"]["version"]
        self.objects: dict[str, JsonObject] = document["components"]["schemas"]
        self.paths: dict[str, JsonObject] = document["paths"]
        self._json = Checks(self.objects)
        self._refusal = self._json.made(_content(document["components"]["responses"]["refused"]))
        self._forms = Checks({}, form=True)
        self._previous = Checks(self.objects, partial=True)
        self._operations: dict[tuple[str, str], Operation] = {}

    def operation(self, verb: str, segments: Sequence[str]) -> Operation | None:
        """The operation that a request is, by the decoded parts of its path; None when there is none."""
        for described in self.paths:
            names = described.strip("/").split("/")
            if len(names) == len(segments) and all(
                name.startswith("{") or name == segment for name, segment in zip(names, segments, strict=True)
            ):
                return self._operation(verb, described)
        return None

    def request(self, verb: str, segments: Sequence[str], form: str) -> list[Fault]:
        """What Stripe does not document in a request. `form` is the query, or the body of a POST."""
        operation = self.operation(verb, segments)
        if operation is None:
            return [f"{verb} /{'/'.join(segments)}: not documented"]
        return [f"{operation}{fault}" for fault in operation.asked(decoded(form))]

    def headers(self, verb: str, headers: Mapping[str, str]) -> list[Fault]:
        """What is wrong with the headers of a request."""
        faults: list[Fault] = []
        if headers.get("stripe-version") != self.version:
            faults.append(f"Stripe-Version: {headers.get('stripe-version')} is not {self.version}")
        if verb == "POST" and headers.get("content-type") != "application/x-www-form-urlencoded":
            faults.append(f"Content-Type: {headers.get('content-type')} is not a form")
        return faults

    def answer(self, verb: str, segments: Sequence[str], status: int, body: Any) -> list[Fault]:
        """What Stripe does not document in an answer."""
        if status >= 400:
            return [f"{verb} /{'/'.join(segments)} answers {status}{fault}" for fault in self._refusal(body)]
        operation = self.operation(verb, segments)
        if operation is None:
            return [f"{verb} /{'/'.join(segments)}: answered, but not documented"]
        return [f"{operation} answers {fault}" for fault in operation.answered(body)]

    def object(self, shown: JsonObject) -> list[Fault]:
        """What Stripe does not document in one of its objects; of an event, in what it tells of, too."""
        name = str(shown.get("object"))
        if name not in self.objects:
            return [f"{name}: not documented"]
        faults = [f"{name}{fault}" for fault in self._json.of(name)(shown)]
        return faults or (self._event(shown) if name == "event" else faults)

    def _event(self, event: JsonObject) -> list[Fault]:
        told, kind = event["data"]["object"], event["type"]
        name = str(told.get("object"))
        faults = [f"{kind}: {fault}" for fault in self.object(told)]
        if kind.rpartition(".")[0] not in _EVENTS_OF.get(name, (name,)):
            faults.append(f"{kind}: tells of {name}")
        if event["api_version"] != self.version:
            faults.append(f"{kind}: version {event['api_version']} is not {self.version}")
        previous = event["data"].get("previous_attributes")
        if previous and name in self.objects:
            faults += [f"{kind}: previous_attributes{fault}" for fault in self._previous.of(name)(previous)]
        return faults

    def _operation(self, verb: str, path: str) -> Operation | None:
        described = self.paths[path].get(verb.lower())
        if described is None:
            return None
        if (verb, path) not in self._operations:
            answered = self._json.made(_content(described["responses"]["200"]))
            self._operations[verb, path] = Operation(verb, path, self._forms.made(asked(described)), answered)
        return self._operations[verb, path]


def asked(operation: JsonObject) -> JsonObject:
    """The parameters of a described operation as one schema."""
    if "requestBody" in operation:
        return _content(operation["requestBody"])
    parameters = operation["parameters"]
    return {
        "type": "object",
        "properties": {each["name"]: each["schema"] for each in parameters},
        "required": [each["name"] for each in parameters if each.get("required")],
        "additionalProperties": False,
    }


def _content(holder: JsonObject) -> JsonObject:
    [content] = holder["content"].values()
    return content["schema"]


def decoded(form: str) -> JsonObject:
    """The parameters of a form or a query, `a[b][0]=c` as nested hashes. A name that is given twice is a list of both."""
    root: JsonObject = {}
    for name, value in parse_qsl(form, keep_blank_values=True):
        *outer, last = _PARTS.findall(name)
        hash = root
        for part in outer:
            inner: Any = hash.get(part)
            if not isinstance(inner, dict):  # with `a=1&a[b]=2` the former is lost, and the latter is what is checked
                inner = hash[part] = {}
            hash = cast(JsonObject, inner)
        key = last or str(len(hash))
        hash[key] = [hash[key], value] if key in hash else value
    return root


@cache
def stripe_document() -> Document:
    """The description as it is kept beside this file."""
    return Document(json.loads(PATH.read_text(encoding="utf-8")))
