"""The application: settings in, FastAPI app out. Nothing happens at import."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from fastapi import FastAPI

import fewstep
from api import problems
from api.body_limit import BodyLimit
from api.deps import Parts
from api.events import EventFeed
from api.openapi import Description, with_components
from api.routes import findings, fronts, health, models, schedules, searches
from fewstep.request import SearchRequest
from store.engine import open_engine
from store.settings import Settings

_ROUTERS = (
    searches.router,
    findings.router,
    schedules.router,
    fronts.router,
    models.router,
    health.router,
)


class Application(FastAPI):
    """A FastAPI app whose description holds the schemas that its routes name."""

    def openapi(self) -> Description:
        """The description, with the body of a submission and the shape of errors."""
        models = {
            name: model.model_json_schema(ref_template="#/components/schemas/{model}")
            for name, model in (
                ("SearchRequest", SearchRequest),
                ("Problem", problems.Problem),
                ("FieldError", problems.FieldError),
            )
        }
        return with_components(super().openapi(), models)


def create_app(settings: Settings) -> FastAPI:
    """Build the service over the database that the settings name; its schema must be there."""
    engine = open_engine(settings.sqlalchemy_url)
    feed = EventFeed(engine, poll_s=settings.poll_ms / 1000, max_streams=settings.max_event_streams)
    app = Application(
        title="fewstep",
        version=fewstep.__version__,
        description="Training-free search of few-step sampling schedules.",
        lifespan=_lifespan,
    )
    app.state.parts = Parts(settings=settings, engine=engine, feed=feed)
    app.add_middleware(BodyLimit, max_bytes=settings.max_body_bytes)
    problems.install_problem_handlers(app)
    for router in _ROUTERS:
        app.include_router(router, prefix="/v1")
    return app


@contextlib.asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Listen for events while the app serves; give the connections back after it."""
    parts: Parts = app.state.parts
    listener = asyncio.create_task(parts.feed.listen())
    yield
    parts.feed.close()
    await listener  # not cancelled: it may be reading, and would leave its connection open
    parts.engine.dispose()
