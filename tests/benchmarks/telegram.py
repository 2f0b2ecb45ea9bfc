"""How the Telegram bot does under load: ``python -m tests.benchmarks.telegram --help``.

Prints one JSON object: times from saying to the server's taking the answer, with the limits of both off; idle CPU;
memory over many messages.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import tempfile
import time
from functools import partial
from pathlib import Path

from tests.e2e.bot_process import BotProcess
from tests.emulator.client import EmulatorClient, wait_for

_TICKS = os.sysconf("SC_CLK_TCK")
SENTENCES = ("Hello, how are you?", "What did you do today?", "I like the rain.", "Tell me something new.")


def main() -> None:
    """Run the bot against an emulated server, and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="echo")
    parser.add_argument("--chats", type=int, default=50)
    parser.add_argument("--messages", type=int, default=4, help="of each chat, all at once")
    parser.add_argument("--idle-s", type=float, default=20)
    parser.add_argument("--soak", type=int, default=0, help="messages to send after that, for the memory")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, EmulatorClient() as server:
        people = range(1, given.chats + 1)
        for person in people:
            server.do("add_person", user=person)
        with BotProcess(server, Path(folder), model=given.model, drafts="false") as bot:
            bot.start()
            facts = {"machine": platform.processor() or platform.machine(), "cores": os.cpu_count(), **vars(given)}
            facts["load_before"] = os.getloadavg()[0]
            cpu, started = cpu_s(bot.pid), time.monotonic()
            time.sleep(given.idle_s)
            facts["idle_cpu_percent"] = round(100 * (cpu_s(bot.pid) - cpu) / (time.monotonic() - started), 2)
            facts |= burst(server, bot, list(people), given.messages)
            facts["memory_mb"] = memory_mb(bot.pid)
            if given.soak:
                facts |= soak(server, bot, list(people), given.soak)
            bot.terminate()
    print(json.dumps(facts))


def burst(server: EmulatorClient, bot: BotProcess, people: list[int], messages: int) -> dict[str, float]:
    """Let everybody say several things at once; return the times of the answers."""
    said = [[person, SENTENCES[number % len(SENTENCES)]] for number in range(messages) for person in people]
    wanted = server.do("state")["messages"] + 2 * len(said)
    before, cpu = server.do("state")["now"], cpu_s(bot.pid)
    server.do("say_many", said=said)
    wait_for(partial(has_messages, server, wanted), "all answers", 600)
    times = sorted(call["at"] - before for call in server.calls("sendMessage") if "result" in call)
    return {
        "answers": len(times),
        "p50_s": round(times[len(times) // 2], 3),
        "p95_s": round(times[int(0.95 * len(times))], 3),
        "last_s": round(times[-1], 3),
        "cpu_ms_a_message": round(1000 * (cpu_s(bot.pid) - cpu) / len(said), 1),
    }


def soak(server: EmulatorClient, bot: BotProcess, people: list[int], count: int) -> dict[str, float]:
    """Send many messages, a wave at a time; return the memory at the end and the most there was."""
    server.do("configure", keeps_calls=False)
    most, started, done = memory_mb(bot.pid), time.monotonic(), 0
    while done < count:
        wanted = server.do("state")["messages"] + 2 * len(people)
        server.do("say_many", said=[[person, SENTENCES[done % len(SENTENCES)]] for person in people])
        wait_for(partial(has_messages, server, wanted), "a wave of answers", 600)
        done += len(people)
        most = max(most, memory_mb(bot.pid))
    return {
        "soaked": done,
        "soak_s": round(time.monotonic() - started, 1),
        "soak_memory_mb": memory_mb(bot.pid),
        "soak_most_mb": most,
    }


def has_messages(server: EmulatorClient, count: int) -> bool:
    return bool(server.do("state")["messages"] >= count)


def cpu_s(pid: int) -> float:
    """Return the CPU time that a process has taken."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def memory_mb(pid: int) -> float:
    """Return the resident memory of a process."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return round(pages * os.sysconf("SC_PAGE_SIZE") / 1e6, 1)


if __name__ == "__main__":
    main()
