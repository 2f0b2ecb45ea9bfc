"""The methods of the Bot API that a chatbot uses: each takes the server and a request's parameters."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from tests.emulator.entities import checked_text, find_entities
from tests.emulator.errors import bad_request, forbidden
from tests.emulator.world import Chat, Message

if TYPE_CHECKING:
    from tests.emulator.emulator import Emulator

Parameters = dict[str, Any]
Method = Callable[["Emulator", Parameters, dict[str, tuple[str, bytes]]], Any]

_ACTIONS = ["typing", "upload_photo", "record_video", "upload_video", "record_voice", "upload_voice"]
_ACTIONS += ["upload_document", "choose_sticker", "find_location", "record_video_note", "upload_video_note"]
_EMOJI = set("👍👎❤🔥🥰👏😁🤔🤯😱🤬😢🎉🤩🤮💩🙏👌🕊🤡🥱🥴😍🐳🌚🌭💯🤣⚡🍌🏆💔👀🎃😇")
_QUERY_LIFE_S = 60.0


def get_me(server: Emulator, parameters: Parameters, files: object) -> dict[str, Any]:
    flags = {"can_join_groups": True, "can_read_all_group_messages": server.world.reads_all}
    return server.world.bot | flags | {"supports_inline_queries": False, "has_main_web_app": False}


def send_message(server: Emulator, parameters: Parameters, files: object) -> Message:
    place = _writable(server, parameters)
    text = checked_text(parameters.get("text"), parameters.get("parse_mode"))
    content = {"text": text, "entities": find_entities(text), "reply_markup": _keyboard(parameters)}
    return _write(server, place, parameters, content)


def send_document(server: Emulator, parameters: Parameters, files: dict[str, tuple[str, bytes]]) -> Message:
    place = _writable(server, parameters)
    reference = str(parameters.get("document", "")).removeprefix("attach://")
    name, content = files.get("document") or files.get(reference) or ("", b"")
    if not content:
        raise bad_request("there is no document in the request")
    number = f"file{len(server.files) + 1}"
    server.files[number] = (f"documents/{number}", content)
    document = {"file_id": number, "file_unique_id": number, "file_name": name, "file_size": len(content)}
    return _write(server, place, parameters, {"document": document, "caption": parameters.get("caption")})


def send_chat_action(server: Emulator, parameters: Parameters, files: object) -> bool:
    _writable(server, parameters)
    if parameters.get("action") not in _ACTIONS:
        raise bad_request("wrong parameter action in request")
    return True


def send_message_draft(server: Emulator, parameters: Parameters, files: object) -> bool:
    place = _writable(server, parameters)
    if place.type != "private":
        raise bad_request("TEXTDRAFT_PEER_INVALID")
    if not _integer(parameters, "draft_id"):
        raise bad_request("draft_id must be non-zero")
    if len(parameters.get("text") or "") > 4096:
        raise bad_request("message is too long")
    return True


def edit_message_text(server: Emulator, parameters: Parameters, files: object) -> Message:
    place = _writable(server, parameters)
    text = checked_text(parameters.get("text"), parameters.get("parse_mode"))
    message = _own_message(server, place, parameters, "edit")
    keyboard = _keyboard(parameters)
    if message.get("text") == text and message.get("reply_markup") == keyboard:
        raise _not_modified()
    return _change(message, {"text": text, "entities": find_entities(text), "reply_markup": keyboard})


def edit_message_reply_markup(server: Emulator, parameters: Parameters, files: object) -> Message:
    message = _own_message(server, _writable(server, parameters), parameters, "edit")
    keyboard = _keyboard(parameters)
    if message.get("reply_markup") == keyboard:
        raise _not_modified()
    return _change(message, {"reply_markup": keyboard})


def delete_message(server: Emulator, parameters: Parameters, files: object) -> bool:
    place = _writable(server, parameters)
    message = _own_message(server, place, parameters, "delete")
    del server.world.messages[place.id, message["message_id"]]
    return True


def answer_callback_query(server: Emulator, parameters: Parameters, files: object) -> bool:
    asked = server.world.queries.pop(str(parameters.get("callback_query_id")), -1e9)
    if time.monotonic() > asked + _QUERY_LIFE_S:
        raise bad_request("query is too old and response timeout expired or query ID is invalid")
    if len(parameters.get("text") or "") > 200:
        raise bad_request("MESSAGE_TOO_LONG")
    return True


def set_message_reaction(server: Emulator, parameters: Parameters, files: object) -> bool:
    place = _writable(server, parameters)
    reactions = _json(parameters, "reaction") or []
    if (place.id, _integer(parameters, "message_id")) not in server.world.messages:
        raise bad_request("message to react not found")
    if len(reactions) > 1:
        raise bad_request("REACTIONS_TOO_MANY")
    if any(reaction.get("emoji") not in _EMOJI for reaction in reactions):
        raise bad_request("REACTION_INVALID")
    return True


def get_file(server: Emulator, parameters: Parameters, files: object) -> dict[str, Any]:
    number = str(parameters.get("file_id"))
    if number not in server.files:
        raise bad_request("invalid file_id")
    path, content = server.files[number]
    return {"file_id": number, "file_unique_id": number, "file_size": len(content), "file_path": path}


def get_chat(server: Emulator, parameters: Parameters, files: object) -> dict[str, Any]:
    return _chat(server, parameters).facts() | {"accent_color_id": 0, "max_reaction_count": 11}


def leave_chat(server: Emulator, parameters: Parameters, files: object) -> bool:
    _chat(server, parameters).trouble = "bot is not a member of the supergroup chat"
    return True


def set_my_commands(server: Emulator, parameters: Parameters, files: object) -> bool:
    commands = _json(parameters, "commands") or []
    if len(commands) > 100:
        raise bad_request("BOT_COMMANDS_TOO_MUCH")
    for command in commands:
        if not re.fullmatch(r"[a-z0-9_]{1,32}", command["command"]):
            raise bad_request("BOT_COMMAND_INVALID")
        if not 1 <= len(command["description"]) <= 256:
            raise bad_request("BOT_COMMAND_DESCRIPTION_INVALID")
    server.commands[_commands_key(parameters)] = commands
    return True


def get_my_commands(server: Emulator, parameters: Parameters, files: object) -> list[dict[str, Any]]:
    return server.commands.get(_commands_key(parameters), [])


def delete_my_commands(server: Emulator, parameters: Parameters, files: object) -> bool:
    server.commands.pop(_commands_key(parameters), None)
    return True


def set_texts(server: Emulator, parameters: Parameters, files: object) -> bool:
    """Take a name or description of the bot."""
    return True


def set_webhook(server: Emulator, parameters: Parameters, files: dict[str, tuple[str, bytes]]) -> bool:
    secret = parameters.get("secret_token", "")
    if not re.fullmatch(r"[A-Za-z0-9_-]{0,256}", secret):
        raise bad_request("secret token contains unallowed characters")
    server.world.queue.end_poll("terminated by setWebhook request")
    server.world.queue.allow(_json(parameters, "allowed_updates"))
    if parameters.get("drop_pending_updates") == "true":
        server.world.queue.waiting.clear()
    certificate = files["certificate"][1].decode() if "certificate" in files else None
    server.webhook.set(parameters.get("url", ""), secret, int(parameters.get("max_connections", 40)), certificate)
    return True


def delete_webhook(server: Emulator, parameters: Parameters, files: object) -> bool:
    if parameters.get("drop_pending_updates") == "true":
        server.world.queue.waiting.clear()
    server.webhook.set("", "", 40)
    return True


def get_webhook_info(server: Emulator, parameters: Parameters, files: object) -> dict[str, Any]:
    facts: dict[str, Any] = {"url": server.webhook.url, "has_custom_certificate": server.webhook.has_certificate}
    facts["pending_update_count"] = len(server.world.queue.waiting)
    if server.webhook.last_error:
        facts |= {"last_error_date": int(time.time()), "last_error_message": server.webhook.last_error}
    return facts


METHODS: dict[str, Method] = {
    "getme": get_me,
    "sendmessage": send_message,
    "senddocument": send_document,
    "sendchataction": send_chat_action,
    "sendmessagedraft": send_message_draft,
    "editmessagetext": edit_message_text,
    "editmessagereplymarkup": edit_message_reply_markup,
    "deletemessage": delete_message,
    "answercallbackquery": answer_callback_query,
    "setmessagereaction": set_message_reaction,
    "getfile": get_file,
    "getchat": get_chat,
    "leavechat": leave_chat,
    "setmycommands": set_my_commands,
    "getmycommands": get_my_commands,
    "deletemycommands": delete_my_commands,
    "setmydescription": set_texts,
    "setmyshortdescription": set_texts,
    "setmyname": set_texts,
    "setwebhook": set_webhook,
    "deletewebhook": delete_webhook,
    "getwebhookinfo": get_webhook_info,
}
LIMITED = ("sendmessage", "senddocument", "editmessagetext")


async def get_updates(server: Emulator, parameters: Parameters) -> list[dict[str, Any]]:
    """Answer the one method that waits."""
    return await server.world.queue.get(
        _integer(parameters, "offset"),
        _integer(parameters, "limit", 100),
        _integer(parameters, "timeout"),
        _json(parameters, "allowed_updates"),
    )


def _chat(server: Emulator, parameters: Parameters) -> Chat:
    if not str(parameters.get("chat_id", "")):
        raise bad_request("chat_id is empty")
    found = server.world.chats.get(_integer(parameters, "chat_id"))
    if found is None:
        raise bad_request("chat not found")
    return found


def _writable(server: Emulator, parameters: Parameters) -> Chat:
    place = _chat(server, parameters)
    if place.trouble is not None:
        raise forbidden(place.trouble)
    return place


def _write(server: Emulator, place: Chat, parameters: Parameters, content: dict[str, Any]) -> Message:
    reply = _json(parameters, "reply_parameters")
    if reply:
        answered = server.world.messages.get((place.id, reply["message_id"]))
        if answered is None and not reply.get("allow_sending_without_reply"):
            raise bad_request("message to be replied not found")
        if answered is not None:
            content["reply_to_message"] = {k: v for k, v in answered.items() if k != "reply_to_message"}
    thread = _integer(parameters, "message_thread_id")
    if thread:
        content |= {"message_thread_id": thread, "is_topic_message": True}
    return server.world.write(place, content)


def _own_message(server: Emulator, place: Chat, parameters: Parameters, verb: str) -> Message:
    message = server.world.messages.get((place.id, _integer(parameters, "message_id")))
    if message is None:
        raise bad_request(f"message to {verb} not found")
    if message.get("from", {}).get("id") != server.world.bot_id:
        raise bad_request(f"message can't be {verb}ed")
    return message


def _change(message: Message, content: dict[str, Any]) -> Message:
    for key, value in content.items():
        if value:
            message[key] = value
        else:
            message.pop(key, None)
    message["edit_date"] = int(time.time())
    return message


def _not_modified() -> Exception:
    return bad_request(
        "message is not modified: specified new message content and reply markup are exactly the same as a current "
        "content and reply markup of the message"
    )


def _keyboard(parameters: Parameters) -> dict[str, Any] | None:
    markup: dict[str, Any] | None = _json(parameters, "reply_markup")
    for row in (markup or {}).get("inline_keyboard", []):
        for button in row:
            if not button.get("text"):
                raise bad_request("can't parse inline keyboard button: Text of the button must be non-empty")
            if "callback_data" in button and not 1 <= len(button["callback_data"].encode()) <= 64:
                raise bad_request("BUTTON_DATA_INVALID")
    return markup if markup and any(markup.get("inline_keyboard", [])) else None


def _commands_key(parameters: Parameters) -> str:
    scope = _json(parameters, "scope") or {"type": "default"}
    chat = f":{scope['chat_id']}" if "chat_id" in scope else ""
    return f"{scope['type']}{chat}/{parameters.get('language_code', '')}"


def _integer(parameters: Parameters, name: str, default: int = 0) -> int:
    try:
        return int(parameters.get(name) or default)
    except (TypeError, ValueError):
        raise bad_request(f"parameter {name} must be a number") from None


def _json(parameters: Parameters, name: str) -> Any:
    value = parameters.get(name)
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value) if value else None
    except ValueError:
        raise bad_request(f"can't parse {name}") from None
