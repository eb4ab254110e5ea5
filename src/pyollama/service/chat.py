"""Answering a conversation."""

from __future__ import annotations

from pyollama.chat.interface import Turn
from pyollama.service.answer import AnswerService
from pyollama.service.checks import check_media, check_task, check_wanted, think_value
from pyollama.service.fitting import FittedPrompt, Room
from pyollama.store.model import StoredModel
from pyollama.types import ChatRequest, Message


class ChatService(AnswerService[ChatRequest]):
    """Continues conversations with stored models."""

    kind = "chat"

    def _asks(self, request: ChatRequest) -> bool:
        return bool(request.messages)

    def _turn(self, model: StoredModel, request: ChatRequest) -> Turn:
        can = self._texts.capabilities(model)
        check_task("chat", request.model, can)
        think = think_value(request.model, request, can)
        check_wanted(model, can, ["tools"] if request.tools else [])
        check_media(model, request.messages)
        return Turn(conversation(model, request.messages), request.tools, think, request.format)

    def _fitted(self, room: Room, request: ChatRequest, turn: Turn) -> FittedPrompt:
        return room.chat(turn)


def conversation(model: StoredModel, messages: tuple[Message, ...]) -> tuple[Message, ...]:
    """The model's own opening, then ``messages``, unless they bring a system text of their own."""
    system: tuple[Message, ...] = ()
    if model.system and (not messages or messages[0].role != "system"):
        system = (Message("system", model.system),)
    return (*system, *model.messages, *messages)
