"""The HTTP routes of `orvpe serve`."""

# no "from __future__ import annotations": FastAPI reads the types of functions made inside `make_app`

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any

from fastapi import FastAPI, File, Form, Request, UploadFile
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse, Response
from starlette.exceptions import HTTPException

from orvpe import __version__
from orvpe.errors import InputError
from orvpe.views.occlusion import SUBGRAPHS
from orvpe.web import schema
from orvpe.web.answers import Answers, Shown
from orvpe.web.drawing import drawing
from orvpe.web.limits import Gate, Guard
from orvpe.web.reading import ReadOptions, is_video
from orvpe.web.shelf import Shelf
from orvpe.web.uploads import read_upload, safe_name

STATIC = Path(__file__).parent / "static"
_KINDS = {
    ".html": "text/html; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
}  # fmt: skip
_CHUNK = 1 << 16
_LONGEST_LINE, _LONGEST_NAME = 1000, 200  # characters of an error, and of the field in it
_FORM = 1 << 14  # bytes of an upload that are not the file


@dataclass(frozen=True)
class Limits:
    """Limits on requests.

    Args:
        upload_bytes: largest file.
        max_frames: longest clip.
        read_seconds: time limit for reading a file, in seconds.
        video_seconds: how much of a video is taken.
        readers: pose files read at a time, and as many videos; eight more of each may wait.
        folder: for files while they are read; the system's when None.
        hosts: names this server is called by.
    """

    upload_bytes: int = 64 << 20
    max_frames: int = 3000
    read_seconds: float = 300.0
    video_seconds: float = 20.0
    readers: int = 2
    folder: Path | None = None
    hosts: tuple[str, ...] = ("127.0.0.1", "localhost", "::1")


def make_app(answers: Answers, limits: Limits = Limits()) -> FastAPI:
    """The application, for uvicorn or a test."""
    problem: dict[int | str, dict[str, Any]] = {
        code: {"model": schema.Problem, "description": text}
        for code, text in {
            400: "the request cannot be taken apart", 403: "asked from elsewhere", 404: "no such clip",
            413: "too large", 422: "the input is of no use; one line says why", 503: "busy",
        }.items()
    }  # fmt: skip
    app = FastAPI(
        title="orvpe",
        version=__version__,
        description="Occlusion-robust embeddings of human pose sequences.",
        docs_url=None,  # these two pages load scripts from elsewhere
        redoc_url=None,
        openapi_url="/api/openapi.json",
        responses=problem,
    )
    shelf = Shelf(answers.samples)
    asking = Gate(2, 200)
    reading = {is_video: Gate(limits.readers, 8) for is_video in (False, True)}  # a long video holds up no pose file
    app.add_middleware(Guard, hosts=limits.hosts, max_body=limits.upload_bytes + _FORM)
    _speak_plainly(app)

    def wanted(identity: str) -> Shown:
        if (shown := shelf.get(identity)) is None:
            raise HTTPException(404, f"no clip {identity[:40]!r}; uploaded clips are kept for a while only")
        return shown

    def info(identity: str, shown: Shown) -> schema.ClipInfo:
        return schema.ClipInfo(id=identity, title=shown.title, frames=shown.clip.frames, people=shown.clip.people)

    @app.get("/api/health")
    async def health() -> schema.Health:
        """Whether the server is there, and what it can do."""
        return schema.Health(
            status="ok", version=__version__, model=answers.name, index=len(answers.index or ()),
            video=find_spec("av") is not None and find_spec("mediapipe") is not None,
            upload_bytes=limits.upload_bytes, parts=list(SUBGRAPHS),
        )  # fmt: skip

    @app.get("/api/models")
    async def models() -> schema.Models:
        """The model that is served."""
        model = answers.model
        about = schema.ModelInfo(
            name=answers.name, about=getattr(model, "card", {}).get("about"), dims=model.dims,
            joints=list(model.layout.joints), encoder=model.encoder_config.name,
            parameters=sum(p.numel() for p in model.encoder.parameters()), feature=model.feature_dim,
            frames=model.view.tau, classes=answers.titles or None,
            fitted=answers.head is not None and model.head is None,
        )  # fmt: skip
        return schema.Models(models=[about])

    @app.get("/api/samples")
    async def samples() -> schema.Samples:
        """Clips to begin with; the classifier and the index do not know them."""
        return schema.Samples(clips=[info(i, shown) for i, shown in shelf.fixed.items()])

    @app.get("/api/map")
    async def index_map() -> schema.Map:
        """The index's clips on the plane of their features' two principal components."""
        index = answers.searched()
        points = index.points().astype(float).round(4).tolist()
        return schema.Map(source=index.source, points=points, labels=[index.title(str(x)) for x in index.labels])

    @app.post("/api/clips")
    async def upload(
        file: Annotated[UploadFile, File(description="a pose file of any format that orvpe reads, or a video")],
        format: Annotated[schema.FormatName, Form(description="the pose format, if not recognised")] = "",
        joints: Annotated[schema.LayoutName, Form(description="the layout, if the file does not say")] = "",
        fps: Annotated[float, Form(ge=0, le=1000, description="if the file does not say; 0 is unknown")] = 0,
        up: Annotated[schema.Up, Form(description="the axis that points up in 3D")] = "auto",
    ) -> schema.Uploaded:
        """Read a file; its clips are kept for a while under the ids that come back."""
        options = ReadOptions(
            answers.model.dims, limits.max_frames, format or None, joints or None, fps or None, up, limits.video_seconds
        )
        name = safe_name(file.filename)
        async with reading[is_video(Path(name))]:
            clips, notes = await read_upload(_chunks(file), name, options, limits.read_seconds, limits.folder)
        found = [answers.show(clip) for clip in clips]
        return schema.Uploaded(clips=[info(shelf.add(s), s) for s in found], notes=notes)

    @app.get("/api/clips/{identity}", response_model=schema.Drawing)
    async def clip(identity: str) -> Response:
        """A clip's joints, for drawing."""
        shown = wanted(identity)
        text = await asking.run(drawing, identity, shown)
        return Response(text, media_type="application/json")

    @app.post("/api/embed")
    async def embed(asked: schema.Asked) -> schema.Embedded:
        """The vectors of a clip."""
        shown, (part, rectangle) = wanted(asked.clip), asked.what()
        whole = await asking.run(answers.vectors, shown)
        found = await asking.run(answers.vectors, shown, part, rectangle)
        embedding = found.embedding.tolist() if found.embedding is not None else None
        hidden = 1 - int(found.visible.sum()) / max(int(whole.visible.sum()), 1)
        return schema.Embedded(feature=found.feature.tolist(), embedding=embedding, hidden=hidden)

    @app.post("/api/classify")
    async def classify(asked: schema.Asked) -> schema.Classified:
        """What the person does, by the model's own classifier or by one fitted on the index."""
        found = await asking.run(answers.vectors, wanted(asked.clip), *asked.what())
        chance = answers.probabilities(found)
        rows = zip(answers.classes, answers.titles, chance.tolist(), strict=True)
        classes = [schema.Probability(label=a, title=b, probability=p) for a, b, p in rows]
        return schema.Classified(classes=sorted(classes, key=lambda c: -c.probability))

    @app.post("/api/search")
    async def search(asked: schema.AskedNearest) -> schema.Found:
        """The clips of the index that are most alike."""
        index = answers.searched()
        found = await asking.run(answers.vectors, wanted(asked.clip), *asked.what())
        return schema.Found(nearest=[schema.Neighbour(**n) for n in index.nearest(found.feature, asked.nearest)])

    @app.post("/api/compare")
    async def compare(asked: schema.AskedNearest) -> schema.Compared:
        """The clip as it is next to the clip with joints hidden: all of the above at once."""
        shown, (part, rectangle) = wanted(asked.clip), asked.what()
        return schema.Compared(**await asking.run(answers.compare, shown, part, rectangle, asked.nearest))

    @app.get("/", include_in_schema=False)
    async def page() -> FileResponse:
        return FileResponse(STATIC / "page.html", media_type=_KINDS[".html"])

    files = {path.name: path for path in STATIC.iterdir()}

    @app.get("/static/{name}", include_in_schema=False)
    async def static(name: str) -> FileResponse:
        if name not in files or files[name].suffix not in _KINDS:
            raise HTTPException(404, "no such file")
        return FileResponse(files[name], media_type=_KINDS[files[name].suffix])

    return app


async def _chunks(file: UploadFile) -> AsyncIterator[bytes]:
    while chunk := await file.read(_CHUNK):
        yield chunk


def _speak_plainly(app: FastAPI) -> None:
    """Return every error as JSON with one line in ``detail``, whatever the client sent."""

    def answer(text: str, code: int, headers: Mapping[str, str] | None = None) -> JSONResponse:
        line = " ".join(text.split())
        short = line if len(line) <= _LONGEST_LINE else f"{line[: _LONGEST_LINE - 4]} ..."
        return JSONResponse({"detail": short}, code, headers=headers)

    @app.exception_handler(InputError)
    async def bad_input(request: Request, error: InputError) -> JSONResponse:
        return answer(str(error), 422)

    @app.exception_handler(RequestValidationError)
    async def bad_request(request: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        where = ".".join(str(p) for p in first["loc"] if p != "body") or "body"
        return answer(f"{where[:_LONGEST_NAME]}: {first['msg']}", 422)

    @app.exception_handler(HTTPException)
    async def http(request: Request, error: HTTPException) -> JSONResponse:
        return answer(str(error.detail), error.status_code, error.headers)
