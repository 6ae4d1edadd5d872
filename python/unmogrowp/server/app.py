"""The Litestar application of the ingest process: routes, errors, OpenAPI, CORS."""

from litestar import Litestar
from litestar.config.cors import CORSConfig
from litestar.datastructures import State
from litestar.openapi import OpenAPIConfig
from litestar.openapi.spec import Components, SecurityScheme

from unmogrowp import __version__
from unmogrowp.server import health_routes, ingest_routes, openapi, person_routes, read_routes
from unmogrowp.server.problems import on_error
from unmogrowp.server.services import Services

# Browser SDKs send from any page; a key is what lets them in, not where they come from.
CORS = CORSConfig(
    allow_origins=["*"],
    allow_methods=["GET", "POST", "OPTIONS"],
    allow_headers=["Authorization", "Content-Type", "Content-Encoding", "X-Api-Key"],
    max_age=3600,
)

SCHEMES = Components(
    security_schemes={
        "bearer": SecurityScheme(type="http", scheme="bearer"),
        "basic": SecurityScheme(type="http", scheme="basic"),
        "key": SecurityScheme(type="apiKey", name="X-Api-Key", security_scheme_in="header"),
    }
)


def build(services: Services) -> Litestar:
    """The application around one intake."""
    return Litestar(
        [
            *ingest_routes.HANDLERS,
            *read_routes.HANDLERS,
            *person_routes.HANDLERS,
            *health_routes.HANDLERS,
        ],
        state=State({"services": services}),
        exception_handlers={Exception: on_error},
        cors_config=CORS,
        openapi_config=OpenAPIConfig(
            title="UnMoGrowP",
            version=__version__,
            path="/schema",
            render_plugins=[openapi.Refined()],
            components=SCHEMES,
            use_handler_docstrings=True,
        ),
        on_startup=[services.bridge.start],
        on_shutdown=[services.bridge.close],
    )
