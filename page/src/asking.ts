/** What a visitor asks, and the body that asks it. */

import type { About, Mode, Recipe } from "./records";

/** Everything that a link holds. */
export interface Ask {
  text: string;
  mode: Mode;
  /** Target of steerable mode. */
  toward: string;
  /** One option a line; none leaves them to the server. */
  options: string;
  /** Slugs of the values that speak; null leaves them to the server. */
  values: string[] | null;
  k: number;
  /** Slug → amount in the recipe's unit, where it is not the default. */
  strengths: Record<string, number>;
  /** Slug → weight of distributional mode; null is the server's own. */
  weights: Record<string, number> | null;
  tokens: number;
  temperature: number;
  seed: number;
}

export interface Body {
  text: string;
  mode: Mode;
  sampling: { max_tokens: number; seed: number; temperature?: number };
  k?: number;
  values?: string[];
  toward?: string;
  options?: string[];
  weights?: Record<string, number>;
  recipe?: Recipe;
}

/** Highest temperature that the page offers. */
export const HOTTEST = 2;

export const MODES: { mode: Mode; label: string; says: string }[] = [
  { mode: "overton", label: "Overton", says: "One response that reflects all of the values." },
  { mode: "steerable", label: "Steerable", says: "An answer from the view of one value, right, duty or group." },
  { mode: "distributional", label: "Distributional", says: "How the values, weighed, spread over the options." },
];

export function plainAsk(about: About | null): Ask {
  return {
    text: "",
    mode: "overton",
    toward: "",
    options: "",
    values: null,
    k: about?.limits.default_k ?? 6,
    strengths: {},
    weights: null,
    tokens: Math.min(120, about?.limits.default_tokens ?? 120),
    temperature: 0,
    seed: 0,
  };
}

export function optionsOf(ask: Ask): string[] {
  return ask.options.split("\n").map((one) => one.trim()).filter(Boolean);
}

/** The recipe of a request: the server's own, with the amounts that were moved; none where none was. */
export function recipeOf(ask: Ask, about: About): Recipe | undefined {
  const moved = Object.entries(ask.strengths).filter(([slug, amount]) => amount !== about.amounts[slug]);
  if (!moved.length) return undefined;
  const own = about.recipe["amounts"];
  return { ...about.recipe, amounts: { ...(typeof own === "object" ? own : {}), ...Object.fromEntries(moved) } };
}

export function bodyOf(ask: Ask, about: About): Body {
  const sampling: Body["sampling"] = { max_tokens: ask.tokens, seed: ask.seed };
  if (ask.temperature > 0) sampling.temperature = ask.temperature;
  const body: Body = { text: ask.text, mode: ask.mode, sampling };
  const options = optionsOf(ask);
  const recipe = recipeOf(ask, about);
  if (ask.values) body.values = ask.values;
  else body.k = ask.k;
  if (ask.mode === "steerable") body.toward = ask.toward.trim();
  if (ask.mode !== "overton" && options.length) body.options = options;
  if (ask.mode === "distributional" && ask.weights && Object.values(ask.weights).some((one) => one > 0)) {
    body.weights = ask.weights;
    // Weights name the values that take part: those of weight 0 stay in view.
    body.values = ask.values ?? Object.keys(ask.weights);
    delete body.k;
  }
  if (recipe) body.recipe = recipe;
  return body;
}

/** Whether an answer to one ask is one to another too; weights that are moved mix what has been answered. */
export function sameRequest(before: Ask, now: Ask, about: About): boolean {
  const [first, second] = [before, now].map((one) => JSON.stringify(bodyOf({ ...one, weights: null }, about)));
  return first === second && (before.weights === null || now.weights !== null);
}

/** The mixture of the values' distributions, as the server makes it: weights of those that have one, brought to 1. */
export function mixed(byValue: number[][], weights: number[]): { weights: number[]; distribution: number[] } {
  const known = byValue.map((row) => row.length > 0);
  const raw = weights.map((one, place) => (known[place] ? one : 0));
  const total = raw.reduce((sum, one) => sum + one, 0);
  const count = known.filter(Boolean).length;
  const shares = raw.map((one, place) => (total > 0 ? one / total : known[place] ? 1 / count : 0));
  const width = Math.max(0, ...byValue.map((row) => row.length));
  const distribution = Array.from({ length: width }, (_, option) =>
    byValue.reduce((sum, row, place) => sum + (shares[place] ?? 0) * (row[option] ?? 0), 0),
  );
  return { weights: shares, distribution };
}

export function best(distribution: number[]): number {
  return distribution.indexOf(Math.max(...distribution));
}
