/** What stays in the browser: the key for as long as its tab, history and theme for longer. */

import { checkedAsk } from "./linking";
import type { Ask } from "./asking";

const KEY = "vispa-key";
const HISTORY = "vispa-history";
const THEME = "vispa-theme";
const MOST = 40;

export interface Past {
  at: number;
  ask: Ask;
  response: string;
}

// A browser may refuse to store anything at all.
function read(storage: () => Storage, name: string): string | null {
  try {
    return storage().getItem(name);
  } catch {
    return null;
  }
}

function write(storage: () => Storage, name: string, text: string | null): void {
  try {
    if (text === null) storage().removeItem(name);
    else storage().setItem(name, text);
  } catch {
    // It is kept nowhere then.
  }
}

const session = (): Storage => sessionStorage;
const local = (): Storage => localStorage;

let key = read(session, KEY);

export function storedKey(): string | null {
  return key;
}

export function storeKey(given: string | null): void {
  key = given;
  write(session, KEY, given);
}

export function history(): Past[] {
  try {
    const found: unknown = JSON.parse(read(local, HISTORY) ?? "[]");
    if (!Array.isArray(found)) return [];
    return found.flatMap((one: { at?: unknown; ask?: unknown; response?: unknown }) => {
      const ask = checkedAsk(one?.ask, null);
      return ask && typeof one.at === "number" && typeof one.response === "string"
        ? [{ at: one.at, ask, response: one.response }]
        : [];
    });
  } catch {
    return [];
  }
}

export function remember(ask: Ask, response: string): void {
  const same = JSON.stringify(ask);
  const rest = history().filter((one) => JSON.stringify(one.ask) !== same);
  const kept = [{ at: Date.now(), ask, response: response.slice(0, 300) }, ...rest].slice(0, MOST);
  write(local, HISTORY, JSON.stringify(kept));
}

export function forget(): void {
  write(local, HISTORY, null);
}

export type Theme = "system" | "light" | "dark";

export function storedTheme(): Theme {
  const found = read(local, THEME);
  return found === "light" || found === "dark" ? found : "system";
}

export function applyTheme(theme: Theme): void {
  write(local, THEME, theme === "system" ? null : theme);
  if (theme === "system") delete document.documentElement.dataset["theme"];
  else document.documentElement.dataset["theme"] = theme;
}
