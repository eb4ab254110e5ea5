"""What goes, and what stays, where a prompt is longer than the context."""

from __future__ import annotations

import pytest
from tests.api.world import CHAT, ByteVocabulary
from tests.unit.runtime.fakes import stored

from pyollama.chat.format import from_template
from pyollama.chat.interface import Turn
from pyollama.errors import ContextLengthExceeded
from pyollama.service.fitting import FittedPrompt, Room
from pyollama.service.texts import TextSide
from pyollama.service.vocabulary import Vocabulary
from pyollama.types import Message, Truncated

SYSTEM = Message("system", "always be brief and answer in the language of the question")


def room(n_ctx: int, *, truncate: bool = True, num_keep: int = 4) -> Room:
    side = TextSide(stored("m"), Vocabulary(ByteVocabulary()), from_template(CHAT))
    return Room(side, n_ctx, num_keep=num_keep, shift=True, truncate=truncate)


def text_of(fitted: FittedPrompt) -> str:
    return bytes(fitted.tokens).decode()


def numbered(count: int) -> str:
    return " ".join(f"word{n}" for n in range(count))


def test_nothing_is_said_where_all_fits() -> None:
    fitted = room(200).chat(Turn((SYSTEM, Message("user", "hi"))))
    assert fitted.truncated is None


def test_the_system_text_stays_where_the_question_is_cut() -> None:
    whole = room(100_000).chat(Turn((SYSTEM, Message("user", numbered(500)))))
    fitted = room(300).chat(Turn((SYSTEM, Message("user", numbered(500)))))
    text = text_of(fitted)
    assert text.startswith(f"[system]{SYSTEM.content}\n[user]")
    assert text.endswith("word499\n[assistant]")
    assert len(fitted.tokens) < 300
    dropped = len(whole.tokens) - len(fitted.tokens)
    assert fitted.truncated == Truncated(dropped, len(fitted.tokens))


def test_old_turns_and_a_part_of_the_question_count_together() -> None:
    old = (Message("user", numbered(50)), Message("assistant", numbered(60)))
    turn = Turn((SYSTEM, *old, Message("user", numbered(500))))
    fitted = room(300).chat(turn)
    whole = len(room(100_000).chat(turn).tokens)
    assert fitted.truncated == Truncated(whole - len(fitted.tokens), len(fitted.tokens))


def test_the_question_stays_where_results_of_tools_follow_it() -> None:
    turn = Turn(
        (
            SYSTEM,
            Message("user", numbered(30)),
            Message("assistant", "sure"),
            Message("user", "how warm is it in Rome"),
            Message("assistant", "let me see " + numbered(20)),
            Message("tool", "31 degrees"),
        )
    )
    fitted = room(160).chat(turn)
    assert [message.role for message in fitted.turn.messages] == ["system", "user", "tool"]
    assert "how warm" in text_of(fitted)


def test_a_system_text_that_leaves_no_room_is_refused_with_both_numbers() -> None:
    system = Message("system", numbered(100))
    with pytest.raises(ContextLengthExceeded, match=r"\(\d+ tokens\).*\(300 tokens\)") as caught:
        room(300).chat(Turn((system, Message("user", "hi"))))
    assert caught.value.details["context_length"] == 300


def test_a_conversation_that_just_does_not_fit_loses_a_turn_not_a_part_of_the_question() -> None:
    turn = Turn((Message("user", "a"), Message("assistant", "b"), Message("user", "question")))
    length = len(room(1000).chat(turn).tokens)
    for n_ctx in (length, length - 1):
        assert text_of(room(n_ctx).chat(turn)).endswith("[user]question\n[assistant]")


def test_without_truncating_it_is_an_error() -> None:
    with pytest.raises(ContextLengthExceeded, match=r"tokens\) exceeds .* \(300 tokens\)"):
        room(300, truncate=False).chat(Turn((Message("user", numbered(200)),)))


def test_what_goes_on_from_a_context_keeps_its_end() -> None:
    turn = Turn((SYSTEM, Message("user", "and now")))
    fitted = room(300).completion(turn, numbered(400))
    assert text_of(fitted).endswith("[user]and now\n[assistant]")
    assert fitted.truncated is not None
