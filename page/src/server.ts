/** The server's routes. */

import type { About, Answer, Selection, Token, Unsteered, Value } from "./records";
import type { Body } from "./asking";
import { storedKey } from "./storage";

const LONGEST_WHY = 1500;
const ABOUT = "/v1/vispa/about";
const VALUES = "/v1/vispa/values";
// Where the server does not say when to come again; and the longest that it is believed, in milliseconds.
const AGAIN = 3000;
const LONGEST_PAUSE = 60_000;

/** What the server refuses, in its own words. */
export class Refused extends Error {
  constructor(
    readonly status: number,
    message: string,
    readonly code: string,
    /** Milliseconds after which to ask again. */
    readonly pause: number = AGAIN,
  ) {
    super(message);
  }

  /** Whether the same request may be answered a little later. */
  get mayPass(): boolean {
    return [0, 429, 503].includes(this.status);
  }
}

/** Told on the window where a key is asked for. */
export const KEY_ASKED_FOR = "vispa-key-asked-for";

function headers(): Record<string, string> {
  const key = storedKey();
  return { "Content-Type": "application/json", ...(key ? { Authorization: `Bearer ${key}` } : {}) };
}

async function asked(path: string, body?: unknown, signal?: AbortSignal): Promise<Response> {
  let reply: Response;
  try {
    reply = await fetch(path, {
      method: body === undefined ? "GET" : "POST",
      headers: headers(),
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      ...(signal ? { signal } : {}),
      cache: "no-store",
      credentials: "omit",
    });
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new Refused(0, "The server cannot be reached.", "unreachable");
  }
  if (reply.status === 401 && path !== ABOUT && path !== VALUES) dispatchEvent(new Event(KEY_ASKED_FOR));
  if (!reply.ok) throw refused(reply.status, await reply.json().catch(() => null), reply.headers.get("Retry-After"));
  return reply;
}

function refused(status: number, data: unknown, after: string | null = null): Refused {
  const error = (data as { error?: { message?: unknown; code?: unknown } } | null)?.error;
  const message = typeof error?.message === "string" ? error.message : `The server answers with status ${status}.`;
  const pause = after && /^\d+$/.test(after) ? Math.min(Math.max(Number(after), 1) * 1000, LONGEST_PAUSE) : AGAIN;
  return new Refused(status, message, typeof error?.code === "string" ? error.code : "", pause);
}

export async function about(): Promise<{ about: About; values: Value[] }> {
  const found = (await (await asked(ABOUT)).json()) as About;
  return { about: found, values: (await (await asked(VALUES)).json()) as Value[] };
}

export async function select(text: string, k: number, signal: AbortSignal): Promise<Selection[]> {
  // The words of a long text take the server seconds.
  const reply = await asked("/v1/vispa/select", { text, k, why: text.length <= LONGEST_WHY }, signal);
  return ((await reply.json()) as { values: Selection[] }).values;
}

export async function tokens(items: { value: string; text: string }[], signal: AbortSignal): Promise<Token[][]> {
  const reply = await asked("/v1/vispa/tokens", { items }, signal);
  return ((await reply.json()) as { items: { tokens: Token[] }[] }).items.map((one) => one.tokens);
}

/** What a stream tells. */
export interface Heard {
  begun?(): void;
  selected?(values: Selection[]): void;
  said?(value: string | null, text: string): void;
}

/** An answer; what happens until it is there is told. */
export async function respond(body: Body, heard: Heard, signal: AbortSignal): Promise<Answer> {
  return (await streamed("/v1/vispa/respond", body, heard, signal)) as Answer;
}

/** The plain model's answer to the same request. */
export async function unsteered(body: Body, heard: Heard, signal: AbortSignal): Promise<Unsteered> {
  const plain = { text: body.text, sampling: body.sampling };
  return (await streamed("/v1/vispa/unsteered", plain, heard, signal)) as Unsteered;
}

async function streamed(path: string, body: object, heard: Heard, signal: AbortSignal): Promise<unknown> {
  const reply = await asked(path, { ...body, stream: true }, signal);
  heard.begun?.();
  let answer: unknown;
  for await (const data of messages(reply)) {
    const event = data as { event?: string; value?: string; text?: string; values?: Selection[]; answer?: unknown };
    if ("error" in event) throw refused(200, event);
    if (event.event === "selection") heard.selected?.(event.values ?? []);
    else if (event.event === "comment") heard.said?.(event.value ?? null, event.text ?? "");
    else if (event.event === "unsteered") heard.said?.(null, event.text ?? "");
    else if (event.event === "response") answer = event.answer;
  }
  if (answer === undefined) throw new Refused(0, "The server ended before its answer was there.", "cut");
  return answer;
}

/** The data of server-sent events, up to `[DONE]`. */
async function* messages(reply: Response): AsyncGenerator<object> {
  const reader = (reply.body as ReadableStream<Uint8Array<ArrayBuffer>>).pipeThrough(new TextDecoderStream()).getReader();
  let kept = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const blocks = (kept + value).split("\n\n");
    kept = blocks.pop() ?? "";
    for (const block of blocks) {
      const line = block.split("\n").find((one) => one.startsWith("data: "));
      if (line === "data: [DONE]") return;
      if (line) yield JSON.parse(line.slice(6)) as object;
    }
  }
}
