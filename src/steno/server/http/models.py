"""`GET /v1/models`: OpenAI's list, with the one served model. Loads no model."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Depends
from pydantic import BaseModel

from steno.engine.lifecycle import LifecycleState
from steno.server.http.error_response import documented
from steno.server.services import Services, services_of

router = APIRouter(tags=["models"])
ServicesDep = Annotated[Services, Depends(services_of)]

CREATED = 1_735_689_600
"""Creation time that OpenAI's list requires: always 2025-01-01, because that of the weights is unknown."""


class ModelObject(BaseModel):
    """OpenAI's model object; `loaded` and `aliases` are steno's."""

    id: str
    object: Literal["model"] = "model"
    created: int = CREATED
    owned_by: str
    loaded: bool
    aliases: list[str]


class ModelList(BaseModel):
    object: Literal["list"] = "list"
    data: list[ModelObject]


@router.get("/v1/models", responses=documented(401))
async def models(services: ServicesDep) -> ModelList:
    """The served model, as a list."""
    return ModelList(data=[_model(services)])


@router.get("/v1/models/{model:path}", responses=documented(401, 404))
async def model(model: str, services: ServicesDep) -> ModelObject:
    """The served model, by its id or an alias."""
    services.check_model(model)
    return _model(services)


def _model(services: Services) -> ModelObject:
    backend = services.engine.backend
    return ModelObject(
        id=backend.model_id,
        owned_by=backend.name,
        loaded=services.engine.model_state is LifecycleState.READY,
        aliases=list(services.aliases),
    )
