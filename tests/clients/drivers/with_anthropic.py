"""Anthropic's SDK for Python: messages, by the raw stream of events."""

import anthropic

PROMPT = [{"role": "user", "content": "hi"}]

VERSION = anthropic.__version__


def options(job):
    return {
        "base_url": job["base_url"],
        "api_key": job["key"],
        "timeout": job["timeout"],
        "max_retries": job["retries"],
        "default_headers": job["headers"],
    }


def arguments(job):
    return {"model": job["model"], "max_tokens": job["max_tokens"], "messages": PROMPT}


def text_of_answer(answer):
    return answer.content[0].text if answer.content else None


def text_of_event(event):
    """Only text deltas carry text; the helper's own repeat of it (`text`) is no second piece."""
    return event.delta.text if event.type == "content_block_delta" else ""


def ask(seen, job):
    with anthropic.Anthropic(**options(job)) as client:
        if not job["stream"]:
            return seen.whole(text_of_answer(client.messages.create(**arguments(job))))
        with client.messages.create(**arguments(job), stream=True) as stream:
            for event in stream:
                seen.piece(text_of_event(event))


async def ask_async(seen, job):
    async with anthropic.AsyncAnthropic(**options(job)) as client:
        answer = await client.messages.create(**arguments(job), stream=job["stream"])
        if not job["stream"]:
            return seen.whole(text_of_answer(answer))
        async with answer:
            async for event in answer:
                seen.piece(text_of_event(event))
