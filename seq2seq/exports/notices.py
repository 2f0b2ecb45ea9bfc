"""What WhatsApp itself writes in place of a message: media left out, deleted messages, calls, encryption.

Most of it is marked in the same way in every language: an invisible mark in front, angle brackets around, no sender.
Older exports lack the mark, so the commonest phrases stand here in the languages most spoken among its users.
"""

from __future__ import annotations

import re

from seq2seq.exports.notes import DELETED, NO_TEXT, SERVICE

_MARK = "\u200e"  # left-to-right mark, in front of what the program wrote
_DIRECTIONS = re.compile("[\u2066-\u2069\u202a-\u202e]")
_IN_BRACKETS = re.compile(r"<[^<>\n]{1,80}>")
_ATTACHMENT = re.compile(  # a file's name, and "file attached" in any language
    r"\u200e?(?:[A-Z]{2,4}-\d{8}-WA\d{4}\.\w{2,5}|\u200e[^\n]{1,200}\.\w{2,5}|[^\n]{1,200}\.vcf)"
    r" \([^()\n]{2,60}\)(?:\n|$)"
)
_TAG_BEHIND = re.compile(r"\s*\u200e<[^<>\n]{1,200}>\s*$")  # <attached: ...>, <this message was edited>
_EDITED_BEHIND = re.compile(
    r"\s*<[^<>\n]*(?:edited|bearbeitet|editad|modifi|изменен|змінен|edytowan|düzenlen|bewerkt|redigera|redigere|muokat"
    r"|diedit|编辑|編輯|編集|수정|تعديل|נערכה|संपादित)[^<>\n]*>\s*$",
    re.IGNORECASE,
)

_DELETED = frozenset(
    phrase.strip(" .。").casefold()
    for phrase in """
This message was deleted|You deleted this message|This message was deleted by admin
Diese Nachricht wurde gelöscht|Du hast diese Nachricht gelöscht
Se eliminó este mensaje|Este mensaje fue eliminado|Eliminaste este mensaje|Este mensaje se eliminó
Ce message a été supprimé|Vous avez supprimé ce message
Questo messaggio è stato eliminato|Hai eliminato questo messaggio
Mensagem apagada|Você apagou esta mensagem|Esta mensagem foi apagada|Essa mensagem foi apagada|Apagou esta mensagem
Dit bericht is verwijderd|Je hebt dit bericht verwijderd|U hebt dit bericht verwijderd
Это сообщение удалено|Данное сообщение удалено|Вы удалили это сообщение|Вы удалили данное сообщение
Це повідомлення видалено|Ви видалили це повідомлення
Ta wiadomość została usunięta|Usunięto tę wiadomość|Ta wiadomość została usunięta przez Ciebie
Bu mesaj silindi|Bu mesajı sildiniz|Bu mesajı sildin
Pesan ini telah dihapus|Anda menghapus pesan ini|Mesej ini telah dipadam
Det här meddelandet raderades|Meddelandet raderades|Du raderade det här meddelandet
Denne besked blev slettet|Denne meldingen ble slettet|Du slettede denne besked|Du slettet denne meldingen
Tämä viesti poistettiin|Poistit tämän viestin
Tato zpráva byla odstraněna|Tato zpráva byla smazána|Acest mesaj a fost șters|Ezt az üzenetet törölték
Αυτό το μήνυμα διαγράφηκε|Διαγράψατε αυτό το μήνυμα
تم حذف هذه الرسالة|حذفت هذه الرسالة|لقد حذفت هذه الرسالة|این پیام حذف شد
הודעה זו נמחקה|מחקת הודעה זו
यह मैसेज मिटाया गया|यह संदेश मिटाया गया|आपने यह मैसेज मिटाया
此消息已被删除|该消息已被删除|您删除了此消息|你删除了这条消息|此訊息已刪除|這則訊息已刪除|您已刪除此訊息
このメッセージは削除されました|メッセージを削除しました|삭제된 메시지입니다|이 메시지는 삭제되었습니다
""".replace("\n", "|").split("|")
    if phrase.strip()
)

_MEDIA = re.compile(
    r"(?:image|video|audio|gif|sticker|document|contact card|video note|voice message|media) omitted"
    r"|(?:bild|video|audio|gif|sticker|dokument|kontaktkarte|medien?) (?:weggelassen|ausgeschlossen)"
    r"|(?:imagen|video|audio|gif|sticker|documento|multimedia|archivo) (?:omitid[oa]|omitido)s?"
    r"|(?:image|vidéo|audio|gif|sticker|document|médias?) (?:omise?s?|absente?s?)"
    r"|(?:immagine|video|audio|gif|sticker|documento|media) omess[oaie]"
    r"|(?:imagem|vídeo|áudio|gif|figurinha|documento|mídia) (?:ocultad[oa]|omitid[oa]|não incluíd[oa])"
    r"|(?:afbeelding|video|audio|gif|sticker|document|media) weggelaten"
    r"|(?:изображение|видео|аудио|gif|стикер|документ|файл|медиа) (?:пропущено|пропущен|опущено|без медиафайлов)"
    r"|(?:görüntü|video|ses|gif|çıkartma|belge|medya) (?:dahil edilmedi|atlandı)"
    r"|(?:图像|图片|视频|音频|贴图|文档|媒体|影片|圖片|貼圖|文件|音訊)已?(?:忽略|省略|略去)"
    r"|(?:画像|動画|音声|スタンプ|ファイル|メディア)(?:は|が)?(?:省略|除外)されました"
    r"|(?:사진|이미지|동영상|오디오|스티커|문서|미디어) ?(?:생략됨|제외됨|파일을 생략한 대화내용)",
    re.IGNORECASE,
)
_ENCRYPTED = (
    "end-to-end encrypt",
    "end-to-end-encrypt",
    "ende-zu-ende-verschlüssel",
    "extremo a extremo",
    "bout en bout",
    "crittografia end-to-end",
    "crittografati end-to-end",
    "ponta a ponta",
    "end-to-end versleuteld",
    "сквозным шифрованием",
    "uçtan uca şifrele",
    "端到端加密",
    "端對端加密",
    "エンドツーエンド",
    "종단간 암호화",
    "التشفير التام",
    "הצפנה מקצה לקצה",
)
_MIN_ENCRYPTED_CHARS = 50  # of the notice; who asks about encryption is briefer. Chinese, Japanese, Korean: below
_MIN_ENCRYPTED_CHARS_CJK = 16
_CALL = re.compile(
    r"(?:missed|verpasster|unanswered) (?:voice|video|group)?[ -]?(?:call|anruf|sprachanruf|videoanruf).*"
    r"|(?:llamada|videollamada) perdida.*|appel (?:vocal|vidéo) manqué.*|chiamata (?:vocale|video)? ?persa.*"
    r"|chamada de (?:voz|vídeo) perdida.*|пропущенный (?:аудио|видео)?звонок.*"
    r"|(?:live location shared|location|poll): ?https?://\S+",
    re.IGNORECASE | re.DOTALL,
)
_MAX_NOTICE_CHARS = 100  # all but the encryption's are brief, which spares long texts the looking


def objection(text: str) -> str | None:
    """Return why a text is none that a person typed, or None where it is."""
    if text.startswith(_MARK):
        return SERVICE if _is_notice(text[1:]) else DELETED if _is_deleted(text[1:]) else NO_TEXT
    if len(text) <= _MAX_NOTICE_CHARS:
        if (text.startswith("<") and _IN_BRACKETS.fullmatch(text)) or _MEDIA.fullmatch(text.strip(" .\u200e")):
            return NO_TEXT
        if _is_deleted(text):
            return DELETED
    return SERVICE if _is_notice(text) else None


def _is_notice(text: str) -> bool:
    if text == "null" or (len(text) <= _MAX_NOTICE_CHARS and _CALL.fullmatch(text)):
        return True
    least = _MIN_ENCRYPTED_CHARS if text.isascii() or text[0] < "\u3000" else _MIN_ENCRYPTED_CHARS_CJK
    if not least <= len(text) <= 4 * _MAX_NOTICE_CHARS:
        return False
    return any(map(text.casefold().__contains__, _ENCRYPTED))


def without_attachments(text: str) -> str:
    """Drop names of attached files and the mark of an edited message, and keep the words around them."""
    text = _ATTACHMENT.sub("", text, count=1) if "(" in text else text
    if text.endswith(">"):
        text = _EDITED_BEHIND.sub("", _TAG_BEHIND.sub("", text))
    if _MARK in text[1:]:
        head, _, tail = text.rpartition(_MARK)
        if _MEDIA.fullmatch(tail.strip(" .")):
            text = head
    return _DIRECTIONS.sub("", text)


def _is_deleted(text: str) -> bool:
    return text.strip(" .。\u200e").casefold() in _DELETED
