// Anthropic's SDK for Node: messages, by the raw stream of events.
import Anthropic from "@anthropic-ai/sdk";
import { versionOf } from "./versions.mjs";

export async function load() {
  return { version: await versionOf("@anthropic-ai/sdk"), ask };
}

async function ask(seen, job) {
  const client = new Anthropic({
    baseURL: job.base_url,
    apiKey: job.key,
    timeout: job.timeout * 1000,
    maxRetries: job.retries,
    defaultHeaders: job.headers,
    fetch: seen.fetch,
  });
  const messages = [{ role: "user", content: "hi" }];
  const body = { model: job.model, max_tokens: job.max_tokens, messages, stream: job.stream };
  const answer = await client.messages.create(body, { signal: seen.abort.signal });
  if (!job.stream) return seen.whole(answer.content?.[0]?.text);
  for await (const event of answer) seen.piece(event.type === "content_block_delta" ? event.delta.text : "");
}
