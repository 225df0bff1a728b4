"""What commands share: an app for the length of a command, and operations run as its operator."""

from __future__ import annotations

import argparse
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import anyio

from rekomi_mcp.app import App
from rekomi_mcp.domain.access import Credential, Operator
from rekomi_mcp.operation import AnyOperation
from rekomi_mcp.pipeline import Call, Origin
from rekomi_mcp.settings import Settings

T = TypeVar("T")
HERE = Origin(user_agent="command line")


def with_app(settings: Settings, work: Callable[[App], Awaitable[T]]) -> T:
    """Run `work` with an app that is closed afterwards."""

    async def run() -> T:
        app = App(settings)
        async with app.running():
            return await work(app)

    return anyio.run(run)


async def operate(
    app: App,
    operation: AnyOperation,
    arguments: dict[str, Any],
    credential: Credential | None = None,
    key: str | None = None,
) -> dict[str, Any]:
    """Run one operation, as the deployment's operator unless another credential is given."""
    call = Call(
        operation=operation,
        credential=credential or Operator(),
        arguments=arguments,
        idempotency_key=key,
        origin=HERE,
    )
    return (await app.pipeline.execute(call)).body


def given(arguments: argparse.Namespace, *names: str) -> dict[str, Any]:
    """The named arguments that were given, by their wire names."""
    from pydantic.alias_generators import to_camel

    return {to_camel(name): value for name in names if (value := getattr(arguments, name, None)) is not None}
