"""Requests and responses, as the OpenAPI description shows them."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from orvpe.data.formats import FORMATS
from orvpe.poses.axes import UP
from orvpe.poses.body_parts import PARTS
from orvpe.poses.skeleton import LAYOUTS
from orvpe.web.hiding import Rectangle

Number = Annotated[float, Field(strict=True, allow_inf_nan=False, ge=-1e7, le=1e7)]
Two = Field(min_length=2, max_length=2)  # a list of two: FastAPI describes a tuple wrongly
Part = Literal[tuple(PARTS)]  # type: ignore[valid-type]
Identity = Annotated[str, Field(min_length=1, max_length=40, examples=["sample-0"])]
# a form cannot say null, so nothing is ''
FormatName = Literal[("", *FORMATS)]  # type: ignore[valid-type]
LayoutName = Literal[("", *LAYOUTS)]  # type: ignore[valid-type]
Up = Literal[UP]  # type: ignore[valid-type]


class _Asked(BaseModel):
    model_config = ConfigDict(extra="forbid")


class AskedRectangle(_Asked):
    """Hides every joint in each frame in which it is inside, as the clip is drawn: a 3D clip is turned about the
    vertical by `angle` (radians), so that a joint at (x, y, z) lies at (x cos angle + z sin angle, y)."""

    x: Annotated[list[Number], Two] = Field(description="ends along the drawing's x axis: pixels, or metres in 3D")
    y: Annotated[list[Number], Two] = Field(description="ends along its y axis: pixels, down; metres, up, in 3D")
    angle: Annotated[float, Field(strict=True, allow_inf_nan=False, ge=-10 * math.pi, le=10 * math.pi)] = 0.0


class Asked(_Asked):
    """A clip, and what to hide: a part, a rectangle, both or nothing."""

    clip: Identity = Field(description="id of a sample or of an uploaded clip")
    part: Part | None = Field(None, description="a part of the body to hide")  # type: ignore[valid-type]
    rectangle: AskedRectangle | None = None

    def what(self) -> tuple[str | None, Rectangle | None]:
        """The part and the rectangle to hide."""
        r = self.rectangle
        return self.part, Rectangle((r.x[0], r.x[1]), (r.y[0], r.y[1]), r.angle) if r is not None else None


class AskedNearest(Asked):
    nearest: Annotated[int, Field(ge=1, le=100)] = Field(5, description="how many of the most alike clips to name")

    @field_validator("nearest", mode="before")
    @classmethod
    def _is_a_number(cls, value: object) -> object:
        if isinstance(value, (str, bool)):
            raise ValueError("expected a whole number")
        return value


class Problem(BaseModel):
    detail: str = Field(description="one line that says what is wrong and what was expected")


class Embedded(BaseModel):
    feature: list[float] = Field(description="the encoder's feature, 256 numbers")
    embedding: list[float] | None = Field(description="its 128-d projection of unit length, if the model has one")
    hidden: float = Field(description="share of the seen joints that was hidden")


class Probability(BaseModel):
    label: str
    title: str
    probability: float


class Classified(BaseModel):
    classes: list[Probability] = Field(description="the most probable first")


class Neighbour(BaseModel):
    name: str
    label: str | None
    subject: str | None
    camera: str | None
    similarity: float = Field(description="cosine of the features, the index's mean taken off")


class Found(BaseModel):
    nearest: list[Neighbour]


class Side(BaseModel):
    probabilities: list[float] | None = Field(description="of `classes`, in that order; null without a classifier")
    nearest: list[Neighbour] | None = Field(description="null without an index")
    point: Annotated[list[float], Two] | None = Field(description="on the map; null without an index")


class Compared(BaseModel):
    hidden: float = Field(description="share of the seen joints that was hidden")
    visible: str = Field(description="base64 of bits, the first one highest: people x frames x joints, what is left")
    cosine: float = Field(description="of the whole clip's feature and the occluded one's")
    similarity: float = Field(description="the same without what all clips of the index share (their mean feature)")
    closer: float | None = Field(description="share of the index's clips that are less alike to the whole clip")
    classes: list[str]
    full: Side
    occluded: Side
    milliseconds: float


class ClipInfo(BaseModel):
    id: str
    title: str
    frames: int
    people: int


class Uploaded(BaseModel):
    clips: list[ClipInfo]
    notes: list[str] = Field(description="what people should know of the file")


class Samples(BaseModel):
    clips: list[ClipInfo]


class Drawing(ClipInfo):
    dims: int
    fps: float | None
    image_size: Annotated[list[int], Two] | None
    joints: list[str]
    parents: list[int] = Field(description="of each joint; a root is its own")
    coordinates: list[Any] = Field(
        description="people, frames, joints; null or 2 or 3 numbers, pixels or metres, y up in 3D"
    )


class Map(BaseModel):
    source: str
    points: list[Annotated[list[float], Two]] = Field(description="the two principal components, within -1 to 1")
    labels: list[str | None]


class ModelInfo(BaseModel):
    name: str
    about: str | None
    dims: int
    joints: list[str]
    encoder: str
    parameters: int
    feature: int
    frames: int = Field(description="that the encoder sees")
    classes: list[str] | None
    fitted: bool = Field(description="whether the classifier was fitted at start on the index's clips")


class Models(BaseModel):
    models: list[ModelInfo]


class Health(BaseModel):
    status: Literal["ok"]
    version: str
    model: str
    index: int = Field(description="clips in the index")
    video: bool = Field(description="whether videos can be read here")
    upload_bytes: int
    parts: list[str]
