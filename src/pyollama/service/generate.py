"""Continuing one prompt."""

from __future__ import annotations

from pyollama.chat.interface import Turn
from pyollama.service.answer import AnswerService
from pyollama.service.checks import check_media, check_task, check_wanted, think_value
from pyollama.service.fitting import FittedPrompt, Room
from pyollama.service.texts import TextSide
from pyollama.store.model import StoredModel
from pyollama.types import CompletionRequest, Message


class GenerateService(AnswerService[CompletionRequest]):
    """Completes prompts with stored models."""

    kind = "generate"

    def _asks(self, request: CompletionRequest) -> bool:
        return bool(request.prompt)

    async def _side(self, model: StoredModel, request: CompletionRequest) -> TextSide:
        if request.template is None:
            return await self._texts.of(model)
        return await self._texts.with_template(model, request.template)

    def _turn(self, model: StoredModel, request: CompletionRequest) -> Turn:
        can = self._texts.capabilities(model)
        check_task("generate", request.model, can)
        think = think_value(request.model, request, can)
        check_wanted(model, can, ["insert"] if request.suffix else [])
        messages = _messages(model, request)
        check_media(model, messages)
        return Turn(messages, (), think, request.format)

    def _fitted(self, room: Room, request: CompletionRequest, turn: Turn) -> FittedPrompt:
        side = room.side
        if request.raw:
            return room.prompt(turn, side.format.raw(request.prompt, turn))
        if request.suffix:
            prompt = side.format.insert(request.prompt, request.suffix, turn)
            return room.prompt(turn, prompt)
        before = side.vocabulary.detokenize(request.context) if request.context else ""
        return room.completion(turn, before)

    def _continuable(self, request: CompletionRequest) -> bool:
        return not request.raw


def _messages(model: StoredModel, request: CompletionRequest) -> tuple[Message, ...]:
    """The prompt as a conversation. One that goes on has had the model's opening before."""
    text = request.system or model.system
    system = (Message("system", text),) if text else ()
    opening = model.messages if request.context is None else ()
    return (*system, *opening, Message("user", request.prompt, images=request.images))
