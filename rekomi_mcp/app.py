"""Where the parts meet: the only file that knows the store, the catalogue, Stripe, the transports and the workers."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from functools import cached_property
from threading import Lock
from typing import TYPE_CHECKING

import anyio

from rekomi_mcp.gateways.stripe import Endpoint, StripeGateway
from rekomi_mcp.gateways.vault import KeyVault
from rekomi_mcp.operation import Intake, Site
from rekomi_mcp.pipeline import Pipeline
from rekomi_mcp.pipeline.admission import Deployment
from rekomi_mcp.pipeline.rate_limit import RateLimiter
from rekomi_mcp.settings import Settings, SettingsError
from rekomi_mcp.tools import CATALOGUE

if TYPE_CHECKING:
    from rekomi_mcp.sandbox.clock import SandboxClock
    from rekomi_mcp.storage.engine import Store
    from rekomi_mcp.workers.background import Background
    from rekomi_mcp.workers.inbox import InboxWorker
    from rekomi_mcp.workers.poller import EventPoller

logger = logging.getLogger(__name__)


class App:
    """One running server, or one command: its parts are made when they are first needed."""

    def __init__(self, settings: Settings, prepare: Callable[[], object] | None = None) -> None:
        """`prepare` is called before the store is opened."""
        self.settings = settings
        self._prepare = prepare
        try:
            self.tools = CATALOGUE.narrowed(settings.toolset_names, settings.read_only)
        except ValueError as error:
            raise SettingsError(f"REKOMI_TOOLSETS: {error}") from None
        self.catalogue = CATALOGUE.narrowed(None, settings.read_only)
        self._store: Store | None = None
        self._opening = Lock()
        self.sandbox = SandboxHost(settings)
        self.stripe = StripeGateway(self._locate_stripe, settings.stripe_timeout_seconds)

    @cached_property
    def clock(self) -> Callable[[], datetime]:
        """The time; on the sandbox, the sandbox's, which a person can advance."""
        return self.sandbox.clock() if self.sandbox.is_built_in else lambda: datetime.now(UTC)

    @cached_property
    def vault(self) -> KeyVault:
        key = self.settings.secret_key
        return KeyVault(key.get_secret_value() if key else None, self.settings.secret_key_file)

    @cached_property
    def pipeline(self) -> Pipeline:
        return Pipeline(
            Deployment(
                open_store=self.open_store,
                opened_store=lambda: self._store,
                catalogue=self.catalogue,
                stripe=self.stripe,
                clock=self.clock,
                mode=self.settings.mode,
                rate_limiter=RateLimiter(self.settings.rate_limit_per_minute),
                site=Site(self.settings.address, is_public=self.settings.public_url is not None),
                vault=self.vault,
                intake=Intake(bool(self.settings.webhook_secrets), self.settings.poll_pause_seconds),
            )
        )

    @cached_property
    def inbox(self) -> InboxWorker:
        from rekomi_mcp.workers.inbox import InboxWorker

        return InboxWorker(self.open_store, self.pipeline, self.stripe, self.clock)

    @cached_property
    def poller(self) -> EventPoller:
        from rekomi_mcp.workers.poller import EventPoller

        return EventPoller(self.open_store, self.stripe, self.clock, live=self.settings.mode == "live")

    @cached_property
    def background(self) -> Background:
        from rekomi_mcp.workers.background import Background, Pace

        pace = Pace(poll=self.settings.poll_pause_seconds)
        return Background(self.open_store, self.pipeline, self.inbox, self.poller, self.clock, pace)

    def open_store(self) -> Store:
        """The store, migrated and checked the first time.

        Raises:
            SettingsError: it cannot be opened, or holds another kind of money than the settings say.
        """
        with self._opening:
            if self._store is None:
                if self._prepare is not None:
                    self._prepare()
                self._store = self._open_store()
            return self._store

    def _open_store(self) -> Store:
        from sqlalchemy.exc import OperationalError

        import rekomi_mcp.storage as storage
        from rekomi_mcp.storage.engine import Store
        from rekomi_mcp.storage.migrate import migrate

        try:
            store = Store(self.settings.store_url)
            migrate(store)
        except ValueError as error:
            raise SettingsError(f"REKOMI_DATABASE_URL: {error}") from None
        except OperationalError as error:
            raise SettingsError(f"The database cannot be opened: {str(error.orig).splitlines()[0]}") from None
        with store.writing() as session:
            held = storage.organizations.claim_mode(session, self.settings.mode)
        if held != self.settings.mode:
            store.close()
            raise SettingsError(
                f"This database holds {held} data, and the Stripe settings are for {self.settings.mode}. The two never "
                "share a database: set REKOMI_DATABASE_URL (or REKOMI_DATA_DIR) to another one."
            )
        return store

    async def _locate_stripe(self) -> Endpoint:
        if self.sandbox.is_built_in:
            return await self.sandbox.endpoint()
        key = self.settings.stripe_secret_key
        assert key is not None, "without a key the sandbox is built in"
        return Endpoint(key.get_secret_value(), self.settings.stripe_api_base)

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[App]:
        """Hold what the app opens, and close it at the end."""
        failure: Exception | None = None
        async with anyio.create_task_group() as group:
            group.start_soon(self.sandbox.serve)
            try:
                yield self
            except Exception as error:  # noqa: BLE001 - raised again below, outside the group that would wrap it
                failure = error
            finally:
                with anyio.CancelScope(shield=True):
                    await self.stripe.aclose()
                group.cancel_scope.cancel()
        if self._store is not None:
            self._store.close()
        self.sandbox.close()
        if failure is not None:
            raise failure


class SandboxHost:
    """Runs the built-in sandbox inside this process, from the first moment somebody needs it."""

    def __init__(self, settings: Settings) -> None:
        self._path = settings.sandbox_path
        self.is_built_in = settings.mode == "sandbox" and settings.stripe_api_base is None
        self._wanted, self._ready = anyio.Event(), anyio.Event()
        self._url = ""
        self._clock: SandboxClock | None = None

    def clock(self) -> Callable[[], datetime]:
        """The sandbox's time."""
        from rekomi_mcp.sandbox.clock import SandboxClock

        self._clock = SandboxClock(self._path)
        return self._clock

    def close(self) -> None:
        if self._clock is not None:
            self._clock.close()

    async def endpoint(self) -> Endpoint:
        """Where the sandbox listens, once it does."""
        from rekomi_mcp.sandbox import SANDBOX_KEY

        self._wanted.set()
        await self._ready.wait()
        return Endpoint(SANDBOX_KEY, self._url)

    async def register_webhook(self, url: str, secret: str) -> None:
        """Have the sandbox deliver its events to this address, signed with this secret."""
        from anyio import to_thread

        from rekomi_mcp.sandbox.simulate import Simulation
        from rekomi_mcp.sandbox.state import State

        await self.endpoint()
        await to_thread.run_sync(lambda: Simulation(State(self._path)).register_webhook(url, secret))

    async def serve(self) -> None:
        """Wait until the sandbox is wanted, then run it until cancelled."""
        if not self.is_built_in:
            return
        await self._wanted.wait()
        from rekomi_mcp.sandbox.server import running_sandbox

        async with running_sandbox(self._path) as sandbox:
            self._url = sandbox.url
            self._ready.set()
            await anyio.sleep_forever()
