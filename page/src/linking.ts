/** Links: everything that is asked, in the fragment of the address, which no server sees. */

import { HOTTEST, MODES, plainAsk, type Ask } from "./asking";
import type { About } from "./records";

const PREFIX = "#ask=";
const LONGEST = 20_000;

export function linkOf(ask: Ask): string {
  const bytes = new TextEncoder().encode(JSON.stringify(ask));
  const letters = Array.from(bytes, (byte) => String.fromCharCode(byte)).join("");
  return PREFIX + btoa(letters).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}

/** What a link asks; null where it is none. Whatever in it cannot be stays as it is by default. */
export function askOf(fragment: string, about: About | null): Ask | null {
  if (!fragment.startsWith(PREFIX)) return null;
  try {
    const letters = atob(fragment.slice(PREFIX.length).replaceAll("-", "+").replaceAll("_", "/"));
    const bytes = Uint8Array.from(letters, (letter) => letter.charCodeAt(0));
    return checkedAsk(JSON.parse(new TextDecoder().decode(bytes)), about);
  } catch {
    return null;
  }
}

/** An ask of whatever came from outside. */
export function checkedAsk(given: unknown, about: About | null): Ask | null {
  if (typeof given !== "object" || given === null) return null;
  const from = given as Record<string, unknown>;
  const plain = plainAsk(about);
  const mode = MODES.find((one) => one.mode === from["mode"])?.mode ?? plain.mode;
  return {
    text: text(from["text"]),
    mode,
    toward: text(from["toward"]).slice(0, 1000),
    options: text(from["options"]),
    values: strings(from["values"]),
    k: whole(from["k"], 1, about?.limits.values ?? 100, plain.k),
    strengths: numbers(from["strengths"]) ?? {},
    weights: numbers(from["weights"]),
    tokens: whole(from["tokens"], 1, about?.limits.max_tokens ?? 4096, plain.tokens),
    temperature: number(from["temperature"], 0, HOTTEST, plain.temperature),
    seed: whole(from["seed"], 0, Number.MAX_SAFE_INTEGER, plain.seed),
  };
}

function text(given: unknown): string {
  return typeof given === "string" ? given.slice(0, LONGEST) : "";
}

/** A list of nothing names no values: it is none. */
function strings(given: unknown): string[] | null {
  const found = Array.isArray(given) ? given.filter((one) => typeof one === "string").slice(0, 100) : [];
  return found.length ? found : null;
}

function number(given: unknown, least: number, most: number, plain: number): number {
  return typeof given === "number" && given >= least && given <= most ? given : plain;
}

function whole(given: unknown, least: number, most: number, plain: number): number {
  return Number.isSafeInteger(given) ? number(given, least, most, plain) : plain;
}

function numbers(given: unknown): Record<string, number> | null {
  if (typeof given !== "object" || given === null || Array.isArray(given)) return null;
  return Object.fromEntries(Object.entries(given).filter(([, one]) => typeof one === "number").slice(0, 100));
}
