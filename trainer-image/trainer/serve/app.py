"""Stage `serve`: HTTP in front of one model; runs until SIGTERM, then drains."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
import uuid
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from aiohttp import web

from trainer.artifact import Artifact, open_artifact
from trainer.errors import StageError, as_stage_error
from trainer.methods.xgboost import TabularModel, load_model
from trainer.serve.answering import Answer, BadRequest, answer, read_request, read_vote
from trainer.serve.settings import ServerSettings, settings_from
from trainer.serve.store import Prediction, Store, StoreUnavailable

MOST_BYTES = 4 * 2**20
SHUTDOWN_SECONDS = 20.0
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True)
class Loaded:
    """A model that is ready to answer."""

    artifact: Artifact
    model: TabularModel


class Server:
    """The handlers of one server and what they share."""

    def __init__(self, settings: ServerSettings, store: Store) -> None:
        self._settings = settings
        self._store = store
        self._loaded: Loaded | None = None
        self._draining = False

    def application(self) -> web.Application:
        """The routes."""
        app = web.Application(client_max_size=MOST_BYTES, middlewares=[self._frame])
        app.router.add_post("/v1/predict", self.predict)
        app.router.add_post("/v1/feedback", self.feedback)
        app.router.add_get("/v1/model", self.model)
        app.router.add_get("/healthz", self.healthz)
        app.router.add_get("/readyz", self.readyz)
        return app

    def load(self) -> None:
        """Check and load the model. Raises ConfigurationError."""
        artifact = open_artifact(self._settings.model_folder, self._settings.model_digest, "MODEL_URI")
        self._loaded = Loaded(artifact, load_model(artifact, threads=1))

    def drain(self) -> None:
        """Be not ready, and ask clients to close their connections; requests are still answered."""
        self._draining = True

    @web.middleware
    async def _frame(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Headers of every response; errors as JSON."""
        try:
            response = await handler(request)
        except BadRequest as error:
            response = _error(400, str(error))
        except StoreUnavailable as error:
            response = _error(503, str(error))
        except web.HTTPException as error:
            response = _error(error.status, error.reason)
        response.headers["x-retrainer-revision"] = self._settings.revision
        response.headers["x-retrainer-digest"] = self._settings.model_digest
        if self._draining:
            response.force_close()
        return response

    async def predict(self, request: web.Request) -> web.Response:
        """Answer the instances, after each answer is on disk."""
        if self._loaded is None:
            return _error(503, "the model is still being loaded")
        instances, unit = read_request(await _body(request))
        answers = answer(self._loaded.model, instances)
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        records = [self._record(item, now, unit) for item in answers]
        await self._store.add(records)
        return web.json_response(
            {
                "predictions": [_prediction(record.id, item) for record, item in zip(records, answers, strict=True)],
                "revision": self._settings.revision,
            }
        )

    def _record(self, item: Answer, now: str, unit: str | None) -> Prediction:
        return Prediction(
            id=uuid.uuid4().hex,
            created_at=now,
            unit=unit,
            features=item.features,
            prediction=item.recorded(),
            revision=self._settings.revision,
            digest=self._settings.model_digest,
        )

    async def feedback(self, request: web.Request) -> web.Response:
        """Record what a person says of an answer, whichever server of the database gave it."""
        if self._loaded is None:
            return _error(503, "the model is still being loaded")
        vote = read_vote(await _body(request), [t.name for t in self._loaded.model.schema.targets])
        if not await self._store.vote(vote):
            return _error(404, "there is no prediction with this id")
        return web.json_response({"id": vote.id})

    async def model(self, request: web.Request) -> web.Response:
        """What is being served."""
        if self._loaded is None:
            return _error(503, "the model is still being loaded")
        schema = self._loaded.model.schema
        return web.json_response(
            {
                "revision": self._settings.revision,
                "digest": self._settings.model_digest,
                "model": self._loaded.artifact.manifest["model"],
                "trainedThrough": self._loaded.artifact.manifest.get("trainedThrough"),
                "features": [feature.name for feature in schema.features],
                "targets": [{"name": t.name, "type": t.type, "classes": list(t.classes)} for t in schema.targets],
            }
        )

    async def healthz(self, request: web.Request) -> web.Response:
        """The process answers."""
        return web.json_response({"status": "ok"})

    async def readyz(self, request: web.Request) -> web.Response:
        """The model is loaded and the server is not about to stop."""
        if self._draining:
            return _error(503, "draining")
        return _error(503, "loading") if self._loaded is None else web.json_response({"status": "ready"})


def _prediction(record_id: str, item: Answer) -> dict[str, Any]:
    shown: dict[str, Any] = {"id": record_id, "prediction": item.prediction()}
    if item.probabilities:
        several = len(item.values) > 1
        shown["probability"] = dict(item.probabilities) if several else next(iter(item.probabilities.values()))
    return shown


def _error(status: int, message: str) -> web.Response:
    return web.json_response({"error": message}, status=status)


async def _body(request: web.Request) -> Any:
    try:
        return json.loads(await request.read())
    except (ValueError, RecursionError):
        raise BadRequest("the body is not JSON") from None


def serve(environment: Mapping[str, str]) -> int:
    """Serve until SIGTERM or SIGINT; the exit code is 0 then, and 64 when the settings or the model are wrong."""
    try:
        settings = settings_from(environment)
        store = Store(settings.database)
    except StoreUnavailable as error:
        print(str(error), file=sys.stderr, flush=True)
        return 1
    except StageError as error:
        print(f"{error.reason}: {error.message}", file=sys.stderr, flush=True)
        return int(error.exit_code)
    try:
        return asyncio.run(_serve(settings, store))
    finally:
        store.close()


async def _serve(settings: ServerSettings, store: Store) -> int:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, stop.set)
    server = Server(settings, store)
    runner = web.AppRunner(server.application(), access_log=None, shutdown_timeout=SHUTDOWN_SECONDS)
    await runner.setup()
    try:
        site = web.TCPSite(runner, settings.host, settings.port, backlog=1024)
        await site.start()
        try:
            await asyncio.to_thread(server.load)
        except Exception as error:  # the boundary: a model that cannot be loaded ends the process
            failure = as_stage_error(error)
            print(f"{failure.reason}: {failure.message}", file=sys.stderr, flush=True)
            return int(failure.exit_code)
        print(f"serving revision {settings.revision} on port {_port(runner)}", flush=True)
        await stop.wait()
        server.drain()
        await asyncio.sleep(settings.drain_seconds)
        print("stopped", flush=True)
        return 0
    finally:
        await runner.cleanup()


def _port(runner: web.AppRunner) -> int:
    """The port that the system chose where PORT is 0."""
    return int(runner.addresses[0][1])
