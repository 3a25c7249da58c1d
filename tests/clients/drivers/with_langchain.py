"""LangChain's ChatOpenAI: `.stream()` and `.invoke()`."""

import importlib.metadata

import langchain_openai

VERSION = importlib.metadata.version("langchain-openai")


def model(job):
    return langchain_openai.ChatOpenAI(
        model=job["model"],
        base_url=job["base_url"] + "/v1",
        api_key=job["key"],
        timeout=job["timeout"],
        max_retries=job["retries"],
        default_headers=job["headers"],
        max_tokens=job["max_tokens"],
    )


def ask(seen, job):
    if not job["stream"]:
        return seen.whole(model(job).invoke("hi").content)
    pieces = model(job).stream("hi")
    try:
        for piece in pieces:
            seen.piece(piece.content)
    finally:
        pieces.close()


async def ask_async(seen, job):
    if not job["stream"]:
        return seen.whole((await model(job).ainvoke("hi")).content)
    async for piece in model(job).astream("hi"):
        seen.piece(piece.content)
