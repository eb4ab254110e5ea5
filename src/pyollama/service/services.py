"""All services together, as a dialect gets them."""

from __future__ import annotations

from dataclasses import dataclass

from pyollama.service.chat import ChatService
from pyollama.service.embed import EmbedService
from pyollama.service.generate import GenerateService
from pyollama.service.models import ModelService
from pyollama.service.transfers import TransferService


@dataclass(frozen=True, slots=True)
class Services:
    chat: ChatService
    generate: GenerateService
    embed: EmbedService
    models: ModelService
    transfers: TransferService
