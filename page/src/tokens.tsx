/** A comment whose tokens are tinted by how far they point toward its value. */

import { useState } from "preact/hooks";
import type { Token } from "./records";
import { points } from "./shown";

interface Given {
  text: string;
  tokens: Token[];
  label: string;
  /** The reading that gets the full tint. */
  most: number;
  /** Told what is read at a token, and whether by keys; nothing when none is pointed at. */
  onReading(said: string, byKey: boolean): void;
}

export function Tokens({ text, tokens, label, most, onReading }: Given) {
  const [place, setPlace] = useState<number | null>(null);
  const letters = points(text);
  const word = (token: Token) => letters.slice(token.start, token.end).join("");
  const point = (next: number | null, byKey: boolean) => {
    const token = next === null ? undefined : tokens[next];
    setPlace(next);
    onReading(token ? `“${word(token)}” ${reading(token)}` : "", byKey);
  };
  const parts = [];
  let end = 0;
  tokens.forEach((token, number) => {
    if (token.start > end) parts.push(letters.slice(end, token.start).join(""));
    parts.push(
      <span
        key={number}
        data-token={number}
        class={`token ${(token.reading ?? 0) < 0 ? "away" : "toward"} ${number === place ? "current" : ""}`}
        style={{ "--tint": tint(token.reading, most) }}
      >
        {word(token)}
      </span>,
    );
    end = token.end;
  });
  parts.push(letters.slice(end).join(""));
  return (
    <div
      class="comment-text"
      dir="auto"
      tabIndex={0}
      role="group"
      aria-label={`Comment for ${label}; arrow keys read it token by token`}
      onMouseOver={(event) => {
        const found = (event.target as HTMLElement).closest<HTMLElement>("[data-token]");
        point(found ? Number(found.dataset["token"]) : null, false);
      }}
      onMouseLeave={() => point(null, false)}
      onFocus={() => place === null && point(0, true)}
      onBlur={() => point(null, true)}
      onKeyDown={(event) => {
        const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
        if (!step) return;
        event.preventDefault();
        point(Math.min(tokens.length - 1, Math.max(0, (place ?? 0) + step)), true);
      }}
    >
      {parts}
    </div>
  );
}

function tint(found: number | null, most: number): string {
  return Math.min(1, Math.abs(found ?? 0) / most).toFixed(3);
}

function reading({ reading }: Token): string {
  if (reading === null) return "has no reading";
  return `${reading < 0 ? "−" : "+"}${Math.abs(reading).toFixed(3)}`;
}

/** The reading that gets the full tint: few tokens of an answer go beyond it. */
export function fullTint(tokens: Record<string, Token[]>): number {
  const sizes = Object.values(tokens)
    .flat()
    .map((one) => Math.abs(one.reading ?? 0))
    .sort((a, b) => a - b);
  return sizes[Math.floor(sizes.length * 0.97)] || 1;
}
