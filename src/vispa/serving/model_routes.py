"""The routes to the served model itself: what it is, how it reads a text."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response

from vispa.live.calls import Call
from vispa.modes.questions import group_prefixes
from vispa.pipeline import Vispa
from vispa.request import DEFAULT_K, MAX_CHARACTERS, MAX_OPTIONS, MODES, check_text
from vispa.serving.answering import log_texts, waited
from vispa.serving.asking import DEFAULT_TOKENS, slug_of
from vispa.serving.faults import refusal_of
from vispa.serving.schemas import TokensBody
from vispa.serving.service import Service


def model_routes(service: Service) -> APIRouter:
    """What the model is, and its readings."""
    router = APIRouter(prefix="/v1/vispa", tags=["VISPA"])

    @router.get("/about")
    def about() -> dict[str, Any]:
        """Which model answers, how it is steered toward each value, and what may be asked."""
        return about_model(service.pipeline, service.polarity, service.settings.max_new_tokens)

    @router.post("/tokens")
    async def tokens(body: TokensBody, http: Request) -> Response:
        """How far each token of a text points toward a value, by the unsteered model's reading of it."""
        pipeline = service.pipeline
        values = [slug_of(pipeline, item.value, f"items.{number}.value") for number, item in enumerate(body.items)]
        texts = [item.text for item in body.items]
        for number, text in enumerate(texts):
            check_text(text, f"items.{number}.text")
        log_texts(service, http, *texts)

        def record(call: Call) -> dict[str, Any]:
            reader = service.token_reader
            call.check()
            found = reader.read(values, texts, call.check)
            items = [
                {"value": value, "tokens": [asdict(token) for token in row]}
                for value, row in zip(values, found, strict=True)
            ]
            return {"items": items, "estimator": pipeline.recipe.estimator, "blocks": list(reader.blocks)}

        return JSONResponse(await waited(service, http, record, refusal_of))

    return router


def about_model(pipeline: Vispa, polarity: str, max_tokens: int) -> dict[str, Any]:
    """What a pipeline is, as JSON.

    Args:
        pipeline: that answers.
        polarity: by which it steers.
        max_tokens: longest comment that may be asked for.
    """
    model, bank = pipeline.model, pipeline.bank
    # What is measured cannot be asked for in other amounts; the same shifts as fractions can.
    recipe = bank.in_fractions(pipeline.recipe)
    return {
        "model": model.name,
        "is_embedded": model.is_embedded,
        "parameters": sum(weights.numel() for weights in model.model.parameters()),
        "model_fingerprint": model.fingerprint,
        "bank": bank.fingerprint,
        "taxonomy": pipeline.taxonomy.fingerprint,
        "polarity": polarity,
        "selector": pipeline.selector.name,
        "recipe": recipe.as_mapping(),
        "magnitude": recipe.magnitude,
        "amounts": {value: recipe.amount_for(value) for value in pipeline.taxonomy},
        "steps": list(recipe.rule.steps),
        "absolute": recipe.rule.absolute,
        "unsteered": [value for value in pipeline.taxonomy if not bank.steers(value, recipe)],
        "groups": list(group_prefixes()),
        "modes": list(MODES),
        "limits": {
            "characters": MAX_CHARACTERS,
            "options": MAX_OPTIONS,
            "max_tokens": max_tokens,
            "default_tokens": min(DEFAULT_TOKENS, max_tokens),
            "default_k": min(DEFAULT_K, len(pipeline.taxonomy)),
            "values": len(pipeline.taxonomy),
        },
    }
