/** The values found, each with its strength. */

import { useState } from "preact/hooks";
import type { Ask } from "./asking";
import { Icon } from "./icons";
import type { About, Selection, Span, Value } from "./records";
import { hueOf, named, percent, points, scaleOf, unitOf, wide } from "./shown";

// Of the sliders, whose range is 0 to 1; what comes nearer to the default than half of it is the default.
const STEP = 0.01;

interface Given {
  ask: Ask;
  about: About;
  values: Value[];
  found: Selection[];
  finding: boolean;
  change(more: Partial<Ask>): void;
}

export function Values({ ask, about, values, found, finding, change }: Given) {
  const [explained, setExplained] = useState("");
  const [wanted, setWanted] = useState("");
  const bySlug = new Map(values.map((one) => [one.slug, one]));
  // Steerable mode: a target that is itself a value speaks alone where nothing else is chosen.
  const target = ask.mode === "steerable" ? named(ask.toward, values) : undefined;
  const alone = ask.values ? undefined : target;
  const chosen = ask.values ?? (alone ? [alone.slug] : null);
  const added = (chosen ?? []).filter((slug) => !found.some((one) => one.value === slug) && bySlug.has(slug));
  const shown = [...found, ...added.map((value) => ({ value, score: NaN, promotes: null }) as Selection)];
  if (!shown.length && !finding) return null;
  const on = new Set(chosen ?? found.map((one) => one.value));
  const turn = (slug: string, speaks: boolean) => {
    const next = speaks ? [...on, slug] : [...on].filter((one) => one !== slug);
    // Where the target is a value, leaving the choice to the server silences all others.
    const same = !target && !added.length && next.length === found.length && found.every((one) => next.includes(one.value));
    change({ values: same ? null : next, weights: null });
  };
  const left = values.filter((one) => !shown.some(({ value }) => value === one.slug));
  const why = found.find((one) => one.value === explained) ?? found[0];
  return (
    <section class="values" aria-labelledby="values-heading">
      <header class="section-head">
        <h2 id="values-heading">Values at stake</h2>
        <span class="hint">Strength: {unitOf(about)}. The tick marks the default.</span>
        {ask.values && (
          <button type="button" class="quiet" onClick={() => change({ values: null, weights: null })}>
            As found
          </button>
        )}
      </header>
      {alone && (
        <p class="note">
          The target, <strong>{alone.label}</strong>, is itself a value and speaks alone. Switch on others to hear them too.
        </p>
      )}
      {why?.why && (
        <Why text={ask.text} spans={why.why} label={bySlug.get(why.value)?.label ?? why.value} hue={hueOf(bySlug.get(why.value), values)} />
      )}
      <ul class="chips" aria-busy={finding}>
        {shown.map((one) => (
          <Chip
            key={one.value}
            selection={one}
            value={bySlug.get(one.value)}
            values={values}
            about={about}
            speaks={on.has(one.value)}
            last={on.size === 1 && on.has(one.value)}
            explained={why?.value === one.value}
            amount={ask.strengths[one.value]}
            onTurn={(speaks) => turn(one.value, speaks)}
            onExplain={() => setExplained(one.value)}
            onAmount={(amount) => {
              const { [one.value]: _, ...rest } = ask.strengths;
              change({ strengths: amount === null ? rest : { ...rest, [one.value]: amount } });
            }}
          />
        ))}
        {left.length > 0 && !(finding && !found.length) && (
          <li class="chip adder">
            <label for="more-values">Add a value</label>
            <div class="row">
              <select id="more-values" value={wanted} onChange={(event) => setWanted(event.currentTarget.value)}>
                <option value="">Choose…</option>
                {[...new Set(left.map((one) => one.family))].map((family) => (
                  <optgroup key={family} label={family}>
                    {left.filter((one) => one.family === family).map((one) => (
                      <option key={one.slug} value={one.slug}>
                        {one.label}
                      </option>
                    ))}
                  </optgroup>
                ))}
              </select>
              <button
                type="button"
                disabled={!wanted}
                onClick={() => {
                  change({ values: [...on, wanted], weights: null });
                  setWanted("");
                }}
              >
                <Icon name="plus" /> Add
              </button>
            </div>
          </li>
        )}
      </ul>
    </section>
  );
}

interface ChipGiven {
  selection: Selection;
  value: Value | undefined;
  values: Value[];
  about: About;
  speaks: boolean;
  last: boolean;
  explained: boolean;
  amount: number | undefined;
  onTurn(speaks: boolean): void;
  onExplain(): void;
  onAmount(amount: number | null): void;
}

function Chip(given: ChipGiven) {
  const { selection, value, about, speaks, amount } = given;
  const label = value?.label ?? selection.value;
  const plain = about.amounts[selection.value] ?? 0;
  const scale = scaleOf(about, plain);
  const now = amount ?? plain;
  const moved = amount !== undefined && amount !== plain;
  const unsteered = about.unsteered.includes(selection.value);
  const side = selection.promotes === null ? "" : selection.promotes >= 0.7 ? "promotes" : selection.promotes <= 0.3 ? "violates" : "";
  const known = Number.isFinite(selection.score);
  return (
    <li class={`chip ${hueOf(value, given.values)} ${speaks ? "" : "off"}`}>
      <div class="row">
        <label class="switch">
          <input
            type="checkbox"
            role="switch"
            checked={speaks}
            disabled={given.last}
            aria-label={`${label} speaks`}
            onChange={(event) => given.onTurn(event.currentTarget.checked)}
          />
          <span class="name" title={value?.definition}>
            {label}
          </span>
        </label>
        {known ? (
          <button type="button" class="relevance" aria-pressed={given.explained} onClick={given.onExplain}>
            <span class="unseen">{`Relevance of ${label}: `}</span>
            {percent(selection.score)}
            <span class="unseen">. Show the words that carry it.</span>
          </button>
        ) : (
          <span class="relevance">added</span>
        )}
      </div>
      <div class="row">
        <div class="meter" aria-hidden="true">
          <span style={wide(known ? selection.score : 0)} />
        </div>
        <span class="side">{side}</span>
      </div>
      {unsteered ? (
        <p class="hint">The model has no usable direction for this value; its comment is the plain model's.</p>
      ) : (
        <div class="strength">
          <div class="slider">
            <input
              type="range"
              min={0}
              max={1}
              step={STEP}
              value={scale.place(now)}
              disabled={!speaks}
              aria-label={`Strength of ${label}`}
              aria-valuetext={`${scale.shown(now)} ${unitOf(about)}${moved ? "" : ", the default"}`}
              onInput={(event) => {
                const place = event.currentTarget.valueAsNumber;
                const near = Math.abs(place - scale.place(plain)) <= STEP / 2;
                given.onAmount(near ? null : scale.amount(place));
              }}
            />
            <span class="tick" aria-hidden="true" style={{ "--at": scale.place(plain) }} />
          </div>
          <span class="amount">{scale.shown(now)}</span>
          <button type="button" class="quiet" disabled={!moved} onClick={() => given.onAmount(null)}>
            <Icon name="back" />
            <span class="unseen">{`Strength of ${label}: back to the default`}</span>
          </button>
        </div>
      )}
    </li>
  );
}

/** The text, its words marked by how much they add to a value's relevance. */
function Why({ text, spans, label, hue }: { text: string; spans: Span[]; label: string; hue: string }) {
  const letters = points(text);
  const most = Math.max(1e-9, ...spans.map((one) => Math.abs(one.weight)));
  const parts = [];
  let end = 0;
  for (const span of spans) {
    parts.push(letters.slice(end, span.start).join(""));
    const word = letters.slice(span.start, span.end).join("");
    const share = Math.max(0, span.weight) / most;
    parts.push(
      share > 0.15 ? (
        <mark key={span.start} style={{ "--share": share.toFixed(3) }} title={`${label}: +${span.weight.toFixed(3)}`}>
          {word}
        </mark>
      ) : (
        word
      ),
    );
    end = span.end;
  }
  parts.push(letters.slice(end).join(""));
  return (
    // A long text scrolls in it.
    <figure class={`why ${hue}`} tabIndex={0}>
      <figcaption>
        Why <strong>{label}</strong>: the words that carry its relevance
      </figcaption>
      <blockquote dir="auto">{parts}</blockquote>
    </figure>
  );
}
