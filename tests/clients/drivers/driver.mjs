// Drives real clients: one job a line on standard input, as JSON; one line on standard output for what its client saw.
//
//     node driver.mjs openai-7 openai-6 anthropic ai-7 ai-6
//
// The packages must be in a `node_modules` beside this file. For the jobs, see driver.py.

import { createInterface } from "node:readline";
import { Agent } from "undici";

class Left extends Error {}
const LEFT = { class: "left", status: null, message: "" };

// What a client got: pieces of text, and how it ended.
class Seen {
  constructor(job) {
    this.job = job;
    this.pieces = [];
    this.abort = new AbortController();
    // Node's own patience with a server that sends nothing is 300 s, for the headers and for each piece of the body.
    const dispatcher = new Agent({ headersTimeout: job.silence * 1000, bodyTimeout: job.silence * 1000 });
    this.fetch = (url, init) => fetch(url, { ...init, dispatcher });
  }

  // One piece of a stream came; throws where the client shall leave. To leave a stream of the Vercel AI SDK is not
  // enough: only its signal ends the request.
  piece(text) {
    this.pieces.push(text ?? "");
    if (text && this.pieces.filter(Boolean).length === this.job.leave_after_pieces) {
      this.abort.abort();
      throw new Left();
    }
  }

  // The whole answer came. An answer without a text is told apart from an empty one.
  whole(text) {
    this.pieces.push(text ?? "(none)");
  }
}

// An exception as a caller's handler would read it, with its causes.
function describe(error) {
  const causes = [];
  for (let cause = error; cause instanceof Error && causes.length < 9; cause = cause.lastError ?? cause.cause) {
    causes.push(cause);
  }
  const words = causes.map((cause) => [cause.message, cause.responseBody, cause.code].filter(Boolean).join(" "));
  return {
    // Some SDKs leave the name of their errors at `Error`; some throw what is no error at all.
    class: (error?.name === "Error" ? error.constructor.name : error?.name) ?? `no Error: ${typeof error}`,
    status: causes.map((cause) => cause.status ?? cause.statusCode).find(Boolean) ?? null,
    message: causes.length ? words.join(" < ") : JSON.stringify(error),
  };
}

async function run(module, job) {
  const seen = new Seen(job);
  const started = performance.now();
  let error = null;
  let leaving;
  if (job.leave_after_seconds) {
    leaving = setTimeout(() => seen.abort.abort(new Left()), job.leave_after_seconds * 1000);
  }
  try {
    await module.ask(seen, job);
  } catch (fault) {
    error = fault instanceof Left ? LEFT : describe(fault);
  }
  clearTimeout(leaving);
  // Some SDKs end a stream silently where the caller aborts it, others raise.
  if (seen.abort.signal.aborted) error = LEFT;
  return {
    id: job.id,
    text: seen.pieces.join(""),
    pieces: seen.pieces.filter((piece) => piece).length,
    empty_pieces: seen.pieces.filter((piece) => !piece).length,
    error,
    seconds: (performance.now() - started) / 1000,
  };
}

const say = (line) => process.stdout.write(JSON.stringify(line) + "\n");

const modules = {};
for (const name of process.argv.slice(2)) {
  const [family, version] = name.split("-");
  modules[name] = await (await import(`./with_${family}.mjs`)).load(version);
}
say({ ready: Object.fromEntries(Object.entries(modules).map(([name, module]) => [name, module.version])) });
for await (const line of createInterface({ input: process.stdin })) {
  const job = JSON.parse(line);
  run(modules[job.client], job).then(say);
}
