/** Distributions over options, of one answer and of many values. */

import { best, mixed } from "./asking";
import type { Distributional, Value } from "./records";
import { hueOf, percent, wide } from "./shown";

interface Shares {
  options: string[];
  shares: number[];
}

export function Distribution({ options, shares }: Shares) {
  const top = best(shares);
  return (
    <ul class="distribution">
      {options.map((option, place) => (
        <li key={place} class={place === top ? "likeliest" : ""}>
          <span class="option" dir="auto">
            {option}
          </span>
          <span class="bar" aria-hidden="true">
            <span class={`option-${place % 8}`} style={wide(shares[place] ?? 0)} />
          </span>
          <span class="amount">{((shares[place] ?? 0) * 100).toFixed(1)} %</span>
        </li>
      ))}
    </ul>
  );
}

interface Given {
  answer: Distributional;
  values: Value[];
  /** The visitor's own weights; null where none was moved. */
  chosen: Record<string, number> | null;
  onWeights(weights: Record<string, number> | null): void;
}

/** The values' distributions and their mixture, which follows the weights at once. */
export function Mixture({ answer, values, chosen, onWeights }: Given) {
  // Weights of other values say nothing of this answer.
  const raw = chosen && answer.values.every((one) => one.value in chosen) ? answer.values.map((one) => chosen[one.value] ?? 0) : null;
  const most = Math.max(...answer.weights);
  const given = raw ?? answer.weights.map((one) => one / (most || 1));
  const { weights, distribution } = mixed(answer.by_value, raw ?? answer.weights);
  const move = (place: number, weight: number) => {
    const next = given.map((one, number) => (number === place ? weight : one));
    onWeights(Object.fromEntries(answer.values.map((one, number) => [one.value, Number((next[number] ?? 0).toFixed(3))])));
  };
  const label = (slug: string) => values.find((one) => one.slug === slug)?.label ?? slug;
  return (
    <>
      <p class="verdict">
        <span class="hint">Likeliest</span>
        <strong dir="auto">{answer.options[best(distribution)]}</strong>
      </p>
      <div data-testid="mixture">
        <Distribution options={answer.options} shares={distribution} />
      </div>
      {answer.disputed.length > 0 && (
        <p class="hint">No option is clearly ahead for {answer.disputed.map(label).join(", ")}.</p>
      )}
      <div class="section-head">
        <h3>By value</h3>
        {raw && (
          <button type="button" class="quiet" onClick={() => onWeights(null)}>
            Weights as they came
          </button>
        )}
      </div>
      {raw?.every((one) => one === 0) && <p class="hint">No value has a weight: shown is the plain mean, and the server is asked for its own weights.</p>}
      <ul class="by-value">
        {answer.values.map((one, place) => {
          const row = answer.by_value[place] ?? [];
          const value = values.find((other) => other.slug === one.value);
          return (
            <li key={one.value} class={hueOf(value, values)}>
              <span class="name">{label(one.value)}</span>
              <span
                class="stack"
                role="img"
                aria-label={
                  row.length
                    ? answer.options.map((option, number) => `${option} ${percent(row[number] ?? 0)}`).join(", ")
                    : "no distribution"
                }
              >
                {row.map((share, number) => (
                  <span
                    key={number}
                    class={`option-${number % 8}`}
                    title={`${answer.options[number]}: ${percent(share)}`}
                    style={wide(share)}
                  />
                ))}
              </span>
              <input
                type="range"
                min={0}
                max={1}
                step={0.01}
                value={given[place]}
                disabled={!row.length}
                aria-label={`Weight of ${label(one.value)}`}
                aria-valuetext={percent(weights[place] ?? 0)}
                onInput={(event) => move(place, event.currentTarget.valueAsNumber)}
              />
              <span class="amount">{percent(weights[place] ?? 0)}</span>
            </li>
          );
        })}
      </ul>
      <ul class="legend" aria-hidden="true">
        {answer.options.map((option, place) => (
          <li key={place}>
            <span class={`dot option-${place % 8}`} />
            <span dir="auto">{option}</span>
          </li>
        ))}
      </ul>
    </>
  );
}
