"""The server's paths, and the OpenAPI description that follows from them. ``docs/server.md`` is for people."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache
from typing import Annotated, Any

from fastapi import FastAPI, Query, Request, Response, WebSocket
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse
from starlette.exceptions import HTTPException

from ltsh_deploy import __version__
from ltsh_deploy.estimator import PoseEstimator
from ltsh_deploy.server_access import OPEN_PATHS, PROTOCOL, offered_protocols
from ltsh_deploy.server_config import ServerConfig
from ltsh_deploy.server_engine import Engine
from ltsh_deploy.server_errors import RequestError
from ltsh_deploy.server_forms import Health, ModelInfo, Results, SkeletonName, responses
from ltsh_deploy.server_gate import Gate, refuse
from ltsh_deploy.server_metrics import Metrics
from ltsh_deploy.server_openapi import POSES_BODY, describe
from ltsh_deploy.server_page import page_headers, read_page
from ltsh_deploy.server_pictures import Wishes
from ltsh_deploy.server_rest import find_all
from ltsh_deploy.server_socket import Session
from ltsh_deploy.server_uploads import Uploads

__all__ = ["create_app"]

_PATHS = frozenset({*OPEN_PATHS, "/v1/poses", "/v1/model", "/v1/stream", "/metrics"})


def create_app(estimator: PoseEstimator, config: ServerConfig, model_name: str) -> Gate:
    """The application that an ASGI server runs.

    Args:
        estimator: finds the people; the caller closes it after the application has ended.
        config: who may come, and the limits.
        model_name: what clients are told.
    """
    metrics = Metrics()
    engine = Engine(estimator, config, metrics)
    uploads = Uploads(config)
    clients = set[Session]()
    metrics.clients.set_function(lambda: len(clients))

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        engine.start()
        yield
        await engine.stop()

    app = FastAPI(
        title="ltsh serve",
        version=__version__,
        description="People's poses in pictures. The WebSocket, /v1/stream, is described in docs/server.md.",
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
        redirect_slashes=False,
    )
    # Once: it takes long, and whoever comes without a token may ask for it.
    description = cache(lambda: describe(app, config, OPEN_PATHS))
    app.openapi = description  # type: ignore[method-assign]
    html = read_page()
    html_headers = page_headers(html)
    _answer_errors(app)

    @app.get("/", include_in_schema=False)
    async def page() -> HTMLResponse:
        return HTMLResponse(html, headers=html_headers)

    @app.get("/healthz", responses=responses(403))
    async def health() -> Health:
        """200 while the process answers."""
        return Health(status="ok")

    @app.get("/readyz", responses=responses(403, 503))
    async def readiness() -> Health:
        """200 while pictures are looked at."""
        if not engine.ready:
            raise RequestError("ending", "no pictures are looked at now")
        return Health(status="ok")

    @app.get(
        "/metrics", responses={200: {"content": {"text/plain": {}}}, **responses(401, 403)}, response_class=Response
    )
    async def figures() -> Response:
        """Figures for Prometheus."""
        return Response(metrics.text(), media_type=metrics.content_type)

    @app.get("/v1/model", responses=responses(401, 403))
    async def model() -> ModelInfo:
        """The model, and the server's limits."""
        return ModelInfo.model_validate(model_info(estimator, config, model_name))

    @app.post(
        "/v1/poses",
        response_model=Results,
        responses=responses(400, 401, 403, 408, 413, 415, 422, 500, 503),
        openapi_extra=POSES_BODY,
    )
    async def poses(
        request: Request,
        threshold: Annotated[float | None, Query(ge=0, le=1, allow_inf_nan=False)] = None,
        skeleton: Annotated[SkeletonName | None, Query()] = None,
        max_side: Annotated[int | None, Query(ge=64, le=1 << 16)] = None,
    ) -> JSONResponse:
        """The people in one picture, or in each of several."""
        wishes = Wishes(threshold, max_side, skeleton)
        return JSONResponse(await find_all(request, wishes, engine, uploads, metrics))

    @app.websocket("/v1/stream")
    async def stream(websocket: WebSocket) -> None:
        # While the network fails they are let in: their frames show when it works again.
        if len(clients) >= config.max_clients or not engine.running:
            await websocket.receive()
            error = RequestError("overload" if engine.running else "ending", "no more clients are taken now")
            await refuse("websocket", error, websocket.send)
            return
        session = Session(websocket, engine, metrics)
        clients.add(session)
        try:
            offered = offered_protocols(websocket.headers)
            await websocket.accept(PROTOCOL if PROTOCOL in offered else None)
            await session.run()
        finally:
            clients.discard(session)

    @app.websocket("/{path:path}")
    async def elsewhere(websocket: WebSocket) -> None:
        await websocket.receive()
        await refuse("websocket", _no_path(), websocket.send)

    return Gate(app, config, metrics, _PATHS)


def model_info(estimator: PoseEstimator, config: ServerConfig, name: str) -> dict[str, Any]:
    """What ``GET /v1/model`` says."""
    description, skeleton = estimator.runtime.description, estimator.skeleton
    return {
        "name": name,
        "version": __version__,
        "device": estimator.runtime.device,
        "size": estimator.size,
        "threshold": estimator.decode_config.peak_threshold,
        "skeleton": {
            "name": skeleton.name,
            "joints": list(skeleton.joints),
            "limbs": list(skeleton.limbs),
            "flip_pairs": list(skeleton.flip_pairs),
        },
        "limits": {
            key: getattr(config, key)
            for key in ("max_bytes", "max_message", "max_pixels", "max_pictures", "max_rate", "max_clients")
        },
        **{
            key: getattr(description, key)
            for key in ("network", "stride", "precision", "training_data", "licence", "notes")
        },
    }


def _answer_errors(app: FastAPI) -> None:
    """Give every error its one form."""

    @app.exception_handler(RequestError)
    async def known(request: Request, error: RequestError) -> JSONResponse:
        answer = JSONResponse(error.body, error.status, error.headers)
        if request.method not in ("GET", "HEAD") and not getattr(request.state, "received", False):
            # The rest of the body is not wanted, and would have to be read to the end.
            answer.headers["Connection"] = "close"
        return answer

    @app.exception_handler(Exception)
    async def mistake(request: Request, error: Exception) -> JSONResponse:
        # The log gets the traceback all the same.
        return await known(request, RequestError("failed", "the server failed"))

    @app.exception_handler(RequestValidationError)
    async def parameter(request: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        place = " ".join(map(str, first["loc"][1:]))
        return await known(request, RequestError("bad_parameter", f"{place}: {first['msg']}"))

    @app.exception_handler(HTTPException)
    async def unknown(request: Request, error: HTTPException) -> JSONResponse:
        if error.status_code == 405:
            answer = await known(request, RequestError("method", f"this path does not take {request.method[:20]}"))
            answer.headers.update(error.headers or {})
            return answer
        return await known(request, _no_path())


def _no_path() -> RequestError:
    return RequestError("not_found", "there is no such path", "docs/server.md lists them")
