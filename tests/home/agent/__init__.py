"""A conversation agent for the tests, as a custom integration of Home Assistant; what it does is said by the text.

fail           raises what Home Assistant makes an answer of
break          raises what ends the script that asked
error:<code>   answers with this error
slow           waits until the entity `test.agent` is `go`
ask            asks back; the next text of the same conversation is taken for the answer
say:<text>     answers with this text, and an empty one with nothing
anything else  is answered with the text, the language and the texts of the conversation so far
"""

from __future__ import annotations

import asyncio
from typing import Any

from homeassistant.components import conversation
from homeassistant.components.conversation.const import DATA_COMPONENT
from homeassistant.core import HomeAssistant, callback
from homeassistant.exceptions import HomeAssistantError
from homeassistant.helpers import intent
from homeassistant.helpers.event import async_track_state_change_event

DOMAIN = "test_agent"
QUESTION = "Which one?"


async def async_setup(hass: HomeAssistant, _config: dict[str, Any]) -> bool:
    await hass.data[DATA_COMPONENT].async_add_entities([Agent()])
    return True


class Agent(conversation.ConversationEntity):  # type: ignore[misc] # Home Assistant has no types here
    """The agent `conversation.test_agent`."""

    _attr_name = "Test agent"
    _attr_unique_id = DOMAIN
    entity_id = f"conversation.{DOMAIN}"
    supported_languages = "*"

    async def _async_handle_message(self, asked: Any, chat_log: Any) -> Any:
        response = intent.IntentResponse(language=asked.language)
        kind, _, rest = asked.text.partition(":")
        if kind == "error":
            response.async_set_error(intent.IntentResponseErrorCode(rest), f"sorry: {rest}")
        else:
            response.async_set_speech(await self._speech(kind, rest, asked, chat_log))
        return conversation.ConversationResult(response=response, conversation_id=chat_log.conversation_id)

    async def _speech(self, kind: str, rest: str, asked: Any, chat_log: Any) -> str:
        texts = [content.content for content in chat_log.content if content.role == "user"]
        match kind:
            case "fail":
                raise HomeAssistantError("the model is away")
            case "break":
                raise RuntimeError("a fault of the agent")
            case "slow":
                await self._until_go()
                answer = "slow, but done"
            case "ask":
                answer = QUESTION
            case "say":
                answer = rest
            case _:
                answer = f"{asked.text} | {asked.language} | {texts}"
        chat_log.async_add_assistant_content_without_tools(
            conversation.AssistantContent(agent_id=asked.agent_id, content=answer)
        )
        return answer

    async def _until_go(self) -> None:
        go = asyncio.Event()

        @callback
        def changed(_event: Any) -> None:
            if self.hass.states.is_state("test.agent", "go"):
                go.set()

        stop = async_track_state_change_event(self.hass, "test.agent", changed)
        if self.hass.states.is_state("test.agent", "go"):
            go.set()
        await go.wait()
        stop()
