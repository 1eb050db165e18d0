/** The server's records, as far as the page reads them. */

export type Mode = "overton" | "steerable" | "distributional";

export interface Value {
  slug: string;
  label: string;
  family: string;
  definition: string;
  aliases: string[];
}

export interface Span {
  start: number;
  end: number;
  weight: number;
}

export interface Selection {
  value: string;
  score: number;
  promotes: number | null;
  why?: Span[];
}

export interface Comment {
  value: string;
  text: string;
  shift: Record<string, number>;
  stance: Partial<Record<"support" | "oppose" | "either", number>>;
  steered: boolean;
  ending: string;
  refused: boolean;
  repeats: number | null;
}

export interface Claim {
  text: string;
  values: string[];
  comments: number[];
  support: number;
  supported: boolean;
}

interface Answered {
  text: string;
  values: Selection[];
  comments: Comment[];
  silent: string[];
  response: string;
}

export interface Overton extends Answered {
  mode: "overton";
  claims: Claim[];
}

export interface Steerable extends Answered {
  mode: "steerable";
  target: string;
  chosen: number;
  fit: number[];
  options: string[];
  distribution: number[] | null;
  answer: string;
}

export interface Distributional extends Answered {
  mode: "distributional";
  options: string[];
  by_value: number[][];
  weights: number[];
  mixture: string;
  distribution: number[];
  answer: string;
  disputed: string[];
}

export type Answer = Overton | Steerable | Distributional;

export interface Unsteered {
  text: string;
  response: string;
  refused: boolean;
}

export interface Token {
  start: number;
  end: number;
  reading: number | null;
}

export interface About {
  model: string;
  is_embedded: boolean;
  parameters: number;
  selector: string;
  polarity: string;
  recipe: Recipe;
  magnitude: string;
  amounts: Record<string, number>;
  steps: number[];
  absolute: boolean;
  unsteered: string[];
  groups: string[];
  limits: {
    characters: number;
    options: number;
    max_tokens: number;
    default_tokens: number;
    default_k: number;
    values: number;
  };
}

export type RecipeField = string | number | boolean | RecipeField[] | { [name: string]: RecipeField };
export type Recipe = { [name: string]: RecipeField };
