// The Vercel AI SDK with its openai-compatible provider: `streamText` and `generateText`.
import { versionOf } from "./versions.mjs";

const PROVIDER = { 6: "@ai-sdk/openai-compatible-2", 7: "@ai-sdk/openai-compatible-3" };

export async function load(version) {
  const name = `ai-${version}`;
  const { streamText, generateText } = await import(name);
  const { createOpenAICompatible } = await import(PROVIDER[version]);
  const ask = async (seen, job) => {
    const provider = createOpenAICompatible({
      name: "llm-proxy",
      baseURL: `${job.base_url}/v1`,
      apiKey: job.key,
      headers: job.headers,
      fetch: seen.fetch,
    });
    const words = {
      model: provider(job.model),
      prompt: "hi",
      maxRetries: job.retries,
      maxOutputTokens: job.max_tokens,
      abortSignal: seen.abort.signal,
    };
    if (!job.stream) return seen.whole((await generateText(words)).text);
    await stream(streamText({ ...words, onError: () => {} }), seen);
  };
  return { version: await versionOf(name), ask };
}

// An error is one part of the stream, and must be thrown by whoever reads it; so is what a user does.
async function stream(result, seen) {
  for await (const part of result.fullStream) {
    if (part.type === "error") throw part.error;
    if (part.type === "abort") throw new Error("aborted");
    if (part.type === "text-delta") seen.piece(part.text);
  }
}
