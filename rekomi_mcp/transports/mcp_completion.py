"""Suggest values for the arguments of prompts and of resource templates, out of what the caller may read."""

from __future__ import annotations

from typing import Any

from mcp_types import (
    CompleteRequestParams,
    CompleteResult,
    Completion,
    PromptReference,
    ResourceTemplateReference,
)

from rekomi_mcp.domain.errors import InvalidInput, Refusal
from rekomi_mcp.domain.paging import MAX_TAKE
from rekomi_mcp.operation import Catalogue
from rekomi_mcp.pipeline import Call, Pipeline
from rekomi_mcp.tools.prompts import PROMPTS
from rekomi_mcp.tools.resources import RESOURCES
from rekomi_mcp.tools.suggestions import Suggestions
from rekomi_mcp.transports.mcp_context import Identify, RequestContext, errors_of_the_protocol

MAX_VALUES = 100
"""The protocol's own limit."""
MAX_TYPED_LENGTH = 100
NOTHING = Completion(values=[], has_more=False)


class CompletionHandler:
    """Answers `completion/complete`."""

    def __init__(self, catalogue: Catalogue, pipeline: Pipeline, identify: Identify) -> None:
        self._catalogue = catalogue
        self._pipeline = pipeline
        self._identify = identify
        prompts = [prompt for prompt in PROMPTS if prompt.offered(catalogue)]
        self._of_prompts = {p.name: {a.name: a.suggestions for a in p.arguments} for p in prompts}
        templates = [resource for resource in RESOURCES if resource.parameters and resource.offered(catalogue)]
        self._of_templates = {t.uri: {name: t.suggestions.get(name) for name in t.parameters} for t in templates}

    async def complete(self, context: RequestContext, params: CompleteRequestParams) -> CompleteResult:
        with errors_of_the_protocol(context, "completing an argument"):
            suggestions = self._suggestions(params.ref, params.argument.name)
            typed = params.argument.value
            if suggestions is None or not self._catalogue.exposes(suggestions.source) or len(typed) > MAX_TYPED_LENGTH:
                return CompleteResult(completion=NOTHING)
            try:
                return CompleteResult(completion=await self._find(context, suggestions, typed))
            except Refusal:  # whoever may not read, or types what no list can be asked for, is offered nothing
                return CompleteResult(completion=NOTHING)

    def _suggestions(self, ref: PromptReference | ResourceTemplateReference, argument: str) -> Suggestions | None:
        """What there is for an argument, None for one that nobody can guess.

        Raises:
            InvalidInput: there is no such prompt or template here, or it takes no such argument.
        """
        known = self._of_prompts.get(ref.name) if isinstance(ref, PromptReference) else self._of_templates.get(ref.uri)
        if known is None:
            raise InvalidInput("There is no such prompt or template. See prompts/list and resources/templates/list.")
        if argument not in known:
            raise InvalidInput(f"It takes no such argument, but: {', '.join(known)}.")
        return known[argument]

    async def _find(self, context: RequestContext, suggestions: Suggestions, typed: str) -> Completion:
        if typed and suggestions.search is not None:
            page = await self._read(context, suggestions, {suggestions.search: typed, "take": MAX_VALUES})
            if page["items"]:
                values = values_of(page, suggestions)
                values.sort(key=lambda value: not begins(value, typed))
                return Completion(values=values, has_more=page["hasMore"])
        page = await self._read(context, suggestions, {"take": MAX_TAKE})
        values = [value for value in values_of(page, suggestions) if begins(value, typed)]
        return Completion(values=values[:MAX_VALUES], has_more=page["hasMore"] or len(values) > MAX_VALUES)

    async def _read(
        self, context: RequestContext, suggestions: Suggestions, arguments: dict[str, Any]
    ) -> dict[str, Any]:
        credential, origin = self._identify(context)
        call = Call(operation=suggestions.source, credential=credential, arguments=arguments, origin=origin)
        return (await self._pipeline.execute(call)).body


def values_of(page: dict[str, Any], suggestions: Suggestions) -> list[str]:
    """The value of each item, once."""
    found = (next((item[field] for field in suggestions.fields if item[field]), "") for item in page["items"])
    return [value for value in dict.fromkeys(found) if value]


def begins(value: str, typed: str) -> bool:
    return value.casefold().startswith(typed.casefold())
