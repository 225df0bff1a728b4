"""Serve the resources over MCP: a read of one is a call through the pipeline like any other."""

from __future__ import annotations

from mcp.server.caching import CacheHint
from mcp_types import (
    BlobResourceContents,
    ListResourcesResult,
    ListResourceTemplatesResult,
    PaginatedRequestParams,
    ReadResourceRequestParams,
    ReadResourceResult,
    TextResourceContents,
)
from mcp_types import Resource as ListedResource
from mcp_types import ResourceTemplate as ListedTemplate

from rekomi_mcp.domain.errors import NotFound
from rekomi_mcp.operation import Catalogue
from rekomi_mcp.pipeline import Call, Pipeline
from rekomi_mcp.tools.resources import MAX_URI_LENGTH, RESOURCES, Resource
from rekomi_mcp.transports import answers
from rekomi_mcp.transports.mcp_context import Identify, RequestContext, errors_of_the_protocol

MARKDOWN, JSON = "text/markdown", "application/json"


def mime_type(resource: Resource) -> str:
    return JSON if resource.operation else MARKDOWN


def listed_resource(resource: Resource) -> ListedResource:
    """What clients are told of a resource."""
    return ListedResource(
        uri=resource.uri,
        name=resource.name,
        title=resource.title,
        description=resource.description,
        mime_type=mime_type(resource),
    )


def listed_template(resource: Resource) -> ListedTemplate:
    """What clients are told of a template."""
    return ListedTemplate(
        uri_template=resource.uri,
        name=resource.name,
        title=resource.title,
        description=resource.description,
        mime_type=mime_type(resource),
    )


class ResourceHandlers:
    """Lists what this server offers, and reads it."""

    def __init__(self, catalogue: Catalogue, pipeline: Pipeline, identify: Identify, lists: CacheHint) -> None:
        self._offered = [resource for resource in RESOURCES if resource.offered(catalogue)]
        self._pipeline = pipeline
        self._identify = identify
        self._lists = lists

    async def list_resources(
        self, context: RequestContext, params: PaginatedRequestParams | None
    ) -> ListResourcesResult:
        return ListResourcesResult(resources=[listed_resource(r) for r in self._offered if not r.parameters])

    async def list_templates(
        self, context: RequestContext, params: PaginatedRequestParams | None
    ) -> ListResourceTemplatesResult:
        return ListResourceTemplatesResult(
            resource_templates=[listed_template(r) for r in self._offered if r.parameters]
        )

    async def read(self, context: RequestContext, params: ReadResourceRequestParams) -> ReadResourceResult:
        # The protocol wants the address back; one that is longer than any of ours would be all echo.
        echo = {"uri": params.uri} if len(params.uri) <= MAX_URI_LENGTH else {}
        with errors_of_the_protocol(context, "reading a resource", **echo):
            resource, arguments = self._find(params.uri)
            text = resource.text or await self._answer(context, resource, arguments)
        contents: list[TextResourceContents | BlobResourceContents] = [
            TextResourceContents(uri=params.uri, mime_type=mime_type(resource), text=text)
        ]
        if resource.text is None:
            return ReadResourceResult(contents=contents)
        return ReadResourceResult(contents=contents, ttl_ms=self._lists.ttl_ms, cache_scope=self._lists.scope)

    def _find(self, uri: str) -> tuple[Resource, dict[str, str]]:
        for resource in self._offered:
            arguments = resource.arguments(uri)
            if arguments is not None:
                return resource, arguments
        raise NotFound("No resource has this address. See resources/list and resources/templates/list.")

    async def _answer(self, context: RequestContext, resource: Resource, arguments: dict[str, str]) -> str:
        assert resource.operation is not None, "it is no text"
        credential, origin = self._identify(context)
        call = Call(operation=resource.operation, credential=credential, arguments=arguments, origin=origin)
        _, text = await answers.within_budget(self._pipeline, call, detailed=False)
        return text
