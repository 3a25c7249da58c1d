"""openai-python: chat, completions and responses."""

import openai

PROMPT = [{"role": "user", "content": "hi"}]

VERSION = openai.__version__


def options(job):
    return {
        "base_url": job["base_url"] + "/v1",
        "api_key": job["key"],
        "timeout": job["timeout"],
        "max_retries": job["retries"],
        "default_headers": job["headers"],
    }


def arguments(job):
    words = {"model": job["model"], "stream": job["stream"]}
    match job["api"]:
        case "chat":
            return words | {"messages": PROMPT, "max_tokens": job["max_tokens"]}
        case "completions":
            return words | {"prompt": "hi", "max_tokens": job["max_tokens"]}
        case "responses":
            return words | {"input": "hi", "max_output_tokens": job["max_tokens"]}


def method(client, job):
    return {
        "chat": client.chat.completions,
        "completions": client.completions,
        "responses": client.responses,
    }[job["api"]].create


def text_of_piece(job, piece):
    match job["api"]:
        case "chat":
            return piece.choices[0].delta.content if piece.choices else ""
        case "completions":
            return piece.choices[0].text if piece.choices else ""
        case "responses":
            return piece.delta if piece.type == "response.output_text.delta" else ""


def text_of_answer(job, answer):
    match job["api"]:
        case "chat":
            return answer.choices[0].message.content if answer.choices else None
        case "completions":
            return answer.choices[0].text if answer.choices else None
        case "responses":
            return answer.output_text if answer.output else None


def ask(seen, job):
    with openai.OpenAI(**options(job)) as client:
        answer = method(client, job)(**arguments(job))
        if not job["stream"]:
            return seen.whole(text_of_answer(job, answer))
        with answer:
            for piece in answer:
                seen.piece(text_of_piece(job, piece))


async def ask_async(seen, job):
    async with openai.AsyncOpenAI(**options(job)) as client:
        answer = await method(client, job)(**arguments(job))
        if not job["stream"]:
            return seen.whole(text_of_answer(job, answer))
        async with answer:
            async for piece in answer:
                seen.piece(text_of_piece(job, piece))
