// openai-node: chat, completions and responses.
import { versionOf } from "./versions.mjs";

const ARGUMENTS = {
  chat: (job) => ({ messages: [{ role: "user", content: "hi" }], max_tokens: job.max_tokens }),
  completions: (job) => ({ prompt: "hi", max_tokens: job.max_tokens }),
  responses: (job) => ({ input: "hi", max_output_tokens: job.max_tokens }),
};
const METHODS = {
  chat: (client) => client.chat.completions,
  completions: (client) => client.completions,
  responses: (client) => client.responses,
};
const TEXT_OF_PIECE = {
  chat: (piece) => piece.choices[0]?.delta?.content,
  completions: (piece) => piece.choices[0]?.text,
  responses: (piece) => (piece.type === "response.output_text.delta" ? piece.delta : ""),
};
const TEXT_OF_ANSWER = {
  chat: (answer) => answer.choices?.[0]?.message.content,
  completions: (answer) => answer.choices?.[0]?.text,
  responses: (answer) => answer.output?.[0]?.content?.[0]?.text,
};

export async function load(version) {
  const name = `openai-${version}`;
  const { default: OpenAI } = await import(name);
  return { version: await versionOf(name), ask: (seen, job) => ask(OpenAI, seen, job) };
}

async function ask(OpenAI, seen, job) {
  const client = new OpenAI({
    baseURL: `${job.base_url}/v1`,
    apiKey: job.key,
    timeout: job.timeout * 1000,
    maxRetries: job.retries,
    defaultHeaders: job.headers,
    fetch: seen.fetch,
  });
  const body = { model: job.model, stream: job.stream, ...ARGUMENTS[job.api](job) };
  const answer = await METHODS[job.api](client).create(body, { signal: seen.abort.signal });
  if (!job.stream) return seen.whole(TEXT_OF_ANSWER[job.api](answer));
  for await (const piece of answer) seen.piece(TEXT_OF_PIECE[job.api](piece));
}
