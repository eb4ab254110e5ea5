"""All services together, as a dialect gets them."""

from __future__ import annotations

from dataclasses import dataclass

from pyollama.service.active import ActiveRequests
from pyollama.service.chat import ChatService
from pyollama.service.embed import EmbedService
from pyollama.service.generate import GenerateService
from pyollama.service.models import ModelService
from pyollama.service.prompts import PromptService
from pyollama.service.scoring import ScoringService
from pyollama.service.status import StatusService
from pyollama.service.transfers import TransferService


@dataclass(frozen=True, slots=True)
class Services:
    chat: ChatService
    generate: GenerateService
    embed: EmbedService
    models: ModelService
    transfers: TransferService
    prompts: PromptService
    scoring: ScoringService
    status: StatusService
    requests: ActiveRequests
