/** The very request, for other places. */

import type { Body } from "./asking";
import type { Recipe, RecipeField } from "./records";

/** For a shell. */
export function asCurl(body: Body, origin: string, locked: boolean): string {
  const key = locked ? ` \\\n  -H "Authorization: Bearer $VISPA_API_KEY"` : "";
  const data = JSON.stringify(body).replaceAll("'", "'\\''");
  return `curl ${origin}/v1/vispa/respond${key} \\\n  -H 'Content-Type: application/json' \\\n  -d '${data}'`;
}

/** For Python, with OpenAI's client. */
export function asPython(body: Body, origin: string, locked: boolean): string {
  const { text, mode, sampling, ...more } = body;
  const { max_tokens, seed, temperature } = sampling;
  const sampled = temperature === undefined ? "" : `\n    temperature=${temperature},`;
  const extra = Object.keys(more).length ? `\n    extra_body={"vispa": ${literal(more)}},` : "";
  return `${locked ? "import os\n\n" : ""}from openai import OpenAI

client = OpenAI(base_url=${literal(`${origin}/v1`)}, api_key=${locked ? 'os.environ["VISPA_API_KEY"]' : '"none"'})
answer = client.chat.completions.create(
    model=${literal(`vispa:${mode}`)},
    messages=[{"role": "user", "content": ${literal(text)}}],
    max_tokens=${max_tokens},
    seed=${seed},${sampled}${extra}
)
print(answer.choices[0].message.content)
`;
}

function literal(given: unknown): string {
  if (given === null || given === undefined) return "None";
  if (typeof given === "boolean") return given ? "True" : "False";
  if (Array.isArray(given)) return `[${given.map(literal).join(", ")}]`;
  if (typeof given === "object") {
    return `{${Object.entries(given).map(([name, one]) => `${literal(name)}: ${literal(one)}`).join(", ")}}`;
  }
  // What JSON says of a text or a number, Python reads as the same.
  return JSON.stringify(given);
}

/** The recipe as a file that `--recipe` takes. */
export function asToml(recipe: Recipe): string {
  const entries = Object.entries(recipe);
  const plain = entries.filter(([, one]) => !isTable(one)).map(([name, one]) => `${key(name)} = ${toml(one)}`);
  const tables = entries.filter(([, one]) => isTable(one)).map(
    ([name, one]) => `\n[${key(name)}]\n${Object.entries(one).map(([inner, it]) => `${key(inner)} = ${toml(it)}`).join("\n")}`,
  );
  return [...plain, ...tables].join("\n") + "\n";
}

function isTable(given: RecipeField): given is { [name: string]: RecipeField } {
  return typeof given === "object" && !Array.isArray(given);
}

function key(name: string): string {
  return /^[A-Za-z0-9_-]+$/.test(name) ? name : toml(name);
}

function toml(given: RecipeField): string {
  if (Array.isArray(given)) return `[${given.map(toml).join(", ")}]`;
  if (typeof given === "number" && Number.isInteger(given)) return String(given);
  return JSON.stringify(given).replaceAll("\u007f", "\\u007f");
}
