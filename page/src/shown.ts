/** How things are said and drawn. */

import type { About, Value } from "./records";

/** Parts of a text by positions that count code points, as the server does. */
export function points(text: string): string[] {
  return Array.from(text);
}

export function percent(share: number): string {
  return `${Math.round(share * 100)} %`;
}

/** The style of what is as wide as its share of a bar; CSS takes no space before a percent sign. */
export function wide(share: number): { width: string } {
  return { width: `${(share * 100).toFixed(2)}%` };
}

/** The value that a target names, as the server takes it. */
export function named(target: string, values: Value[]): Value | undefined {
  const key = (name: string) => name.toLowerCase().replace(/[\s_-]+/g, " ").trim();
  const wanted = key(target);
  return wanted ? values.find((one) => [one.slug, one.label, ...one.aliases].some((name) => key(name) === wanted)) : undefined;
}

/** The unit of amounts, by the rule of magnitude. */
const UNITS: Record<string, string> = {
  residual: "share of the residual norm",
  coefficient: "multiple of the direction",
  calibrated: "target confidence",
};

export function unitOf(about: About): string {
  return UNITS[about.magnitude] ?? about.magnitude;
}

/** A slider's scale: its place from 0 to 1 and back. Confidences are spread by their logit. */
export interface Scale {
  place(amount: number): number;
  amount(place: number): number;
  shown(amount: number): string;
}

export function scaleOf(about: About, plain: number): Scale {
  const steps = about.steps;
  const last = steps[steps.length - 1] ?? 3;
  if (about.absolute) {
    const logit = (share: number) => Math.log(share / (1 - share));
    const low = logit(Math.min(steps[0] ?? 0.5, plain));
    const high = logit(Math.max(last, plain));
    return {
      place: (amount) => (logit(amount) - low) / (high - low),
      amount: (place) => 1 / (1 + Math.exp(-(low + place * (high - low)))),
      shown: (amount) => amount.toFixed(4).replace(/0+$/, ""),
    };
  }
  const most = Math.abs(plain) * last || 1;
  return {
    place: (amount) => amount / most,
    amount: (place) => Number((place * most).toPrecision(3)),
    shown: (amount) => String(Number(amount.toPrecision(3))),
  };
}

/** A colour for each family of values, by its place among them. */
export function hueOf(value: Value | undefined, values: Value[]): string {
  const families = [...new Set(values.map((one) => one.family))];
  return `hue-${value ? families.indexOf(value.family) % 6 : 0}`;
}

/** Scrolls something into view, without motion for whoever wants none. */
export function bring(id: string, block: ScrollLogicalPosition = "start"): HTMLElement | null {
  const found = document.getElementById(id);
  const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
  found?.scrollIntoView({ block, behavior: calm ? "auto" : "smooth" });
  return found;
}

export function parameters(count: number): string {
  if (count >= 1e9) return `${(count / 1e9).toFixed(1)} billion parameters`;
  if (count >= 1e6) return `${Math.round(count / 1e6)} million parameters`;
  return `${Math.round(count / 1e3)} thousand parameters`;
}
