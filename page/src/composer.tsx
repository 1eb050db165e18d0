/** Where a situation goes in. */

import { useRef } from "preact/hooks";
import { HOTTEST, MODES, type Ask } from "./asking";
import { EXAMPLES } from "./examples";
import { Icon } from "./icons";
import type { About, Mode, Value } from "./records";

interface Given {
  ask: Ask;
  about: About | null;
  values: Value[];
  running: boolean;
  problem: string;
  /** Whether the problem is the text's. */
  invalid: boolean;
  change(more: Partial<Ask>): void;
  onExample(ask: Partial<Ask>): void;
  onAnswer(): void;
  onStop(): void;
}

export function Composer(given: Given) {
  const { ask, about, running, problem, change } = given;
  const most = about?.limits.characters ?? 20_000;
  const missing = !ask.text.trim() || (ask.mode === "steerable" && !ask.toward.trim());
  return (
    <section class="composer card" aria-labelledby="ask-heading">
      <h1 id="ask-heading">One situation, many values</h1>
      <p class="lead">
        Describe a situation or ask a question. VISPA finds the human values at stake, lets the model speak for each of
        them, and makes one answer of what they say.
      </p>
      {/* What a field takes is seen to where it changes; the browser's own check would stop a folded setting silently. */}
      <form
        noValidate
        onSubmit={(event) => {
          event.preventDefault();
          if (!running && !missing) given.onAnswer();
        }}
      >
        <label class="unseen" for="situation">
          Situation or question
        </label>
        <textarea
          id="situation"
          rows={3}
          maxLength={most}
          dir="auto"
          placeholder="Telling my grandmother a comforting lie about her illness"
          value={ask.text}
          aria-describedby={problem ? "situation-problem" : undefined}
          aria-invalid={given.invalid ? true : undefined}
          onInput={(event) => change({ text: event.currentTarget.value, values: null, weights: null })}
          onKeyDown={(event) => {
            if (event.key === "Enter" && (event.metaKey || event.ctrlKey)) event.currentTarget.form?.requestSubmit();
          }}
        />
        {problem && (
          <p class="problem" id="situation-problem" role="alert">
            {problem}
          </p>
        )}
        <ModeTabs ask={ask} change={change} />
        <div role="tabpanel" id="mode-panel" aria-labelledby={`tab-${ask.mode}`} class="mode-panel">
          <ModeFields {...given} />
          <Settings {...given} />
          <div class="actions">
            {running ? (
              <button
                type="button"
                class="primary"
                onClick={(event) => {
                  // By the end of the click this is the button that asks, and would ask again. And the second click of
                  // a double click on that one is none on this one.
                  event.preventDefault();
                  if (event.detail < 2) given.onStop();
                }}
              >
                <Icon name="stop" /> Stop
              </button>
            ) : (
              <button type="submit" class="primary" disabled={missing || !about}>
                Answer <Icon name="arrow" />
              </button>
            )}
            <span class={`hint ${missing ? "" : "keys"}`}>
              {ask.mode === "steerable" && !ask.toward.trim() ? "Choose a target first." : "Ctrl + Enter answers too."}
            </span>
          </div>
        </div>
      </form>
      <div class="examples" role="group" aria-label="Examples">
        <span class="hint" aria-hidden="true">
          Try
        </span>
        {EXAMPLES.map((one) => (
          <button type="button" class="pill" key={one.label} onClick={() => given.onExample(one.ask)}>
            {one.label}
          </button>
        ))}
      </div>
    </section>
  );
}

function ModeTabs({ ask, change }: Pick<Given, "ask" | "change">) {
  const bar = useRef<HTMLDivElement>(null);
  const move = (event: KeyboardEvent) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    const now = MODES.findIndex((one) => one.mode === ask.mode);
    const next = event.key === "Home" ? 0 : event.key === "End" ? MODES.length - 1 : step ? now + step : null;
    if (next === null) return;
    event.preventDefault();
    const place = (next + MODES.length) % MODES.length;
    change({ mode: MODES[place]?.mode ?? "overton" });
    bar.current?.querySelectorAll<HTMLElement>("[role=tab]")[place]?.focus();
  };
  return (
    <div class="tabs-row">
      <div class="tabs" role="tablist" aria-label="Mode" ref={bar} onKeyDown={move}>
        {MODES.map(({ mode, label }) => (
          <button
            type="button"
            role="tab"
            key={mode}
            id={`tab-${mode}`}
            aria-selected={mode === ask.mode}
            aria-controls="mode-panel"
            tabIndex={mode === ask.mode ? 0 : -1}
            onClick={() => change({ mode: mode as Mode })}
          >
            {label}
          </button>
        ))}
      </div>
      <p class="hint">{MODES.find((one) => one.mode === ask.mode)?.says}</p>
    </div>
  );
}

function ModeFields({ ask, about, values, change }: Given) {
  if (ask.mode === "overton") return null;
  const groups = about?.groups ?? [];
  return (
    <div class="fields">
      {ask.mode === "steerable" && (
        <div class="field">
          <label for="toward">Target</label>
          <input
            id="toward"
            list="targets"
            maxLength={1000}
            dir="auto"
            autocomplete="off"
            placeholder="karma"
            value={ask.toward}
            aria-describedby="toward-hint"
            onInput={(event) => change({ toward: event.currentTarget.value })}
          />
          <datalist id="targets">
            {values.map((one) => (
              <option key={one.slug} value={one.label} />
            ))}
            {groups.map((one) => (
              <option key={one} value={`${one}_`}>
                A group: complete its name
              </option>
            ))}
          </datalist>
          <p class="hint" id="toward-hint">
            A value, a right or duty in words, or a group such as {groups[0] ?? "POLPARTY"}_Democrat.
          </p>
        </div>
      )}
      <div class="field">
        <label for="options">Options, one a line</label>
        <textarea
          id="options"
          rows={3}
          dir="auto"
          placeholder={"Support\nOppose\nEither"}
          value={ask.options}
          onInput={(event) => change({ options: event.currentTarget.value })}
        />
      </div>
    </div>
  );
}

function Settings({ ask, about, change }: Given) {
  const limits = about?.limits;
  const numbers = [
    { name: "Values", field: "k", least: 1, most: limits?.values ?? 31, step: 1 },
    { name: "Longest comment, tokens", field: "tokens", least: 1, most: limits?.max_tokens ?? 512, step: 1 },
    { name: "Temperature", field: "temperature", least: 0, most: HOTTEST, step: 0.1 },
    { name: "Seed", field: "seed", least: 0, most: Number.MAX_SAFE_INTEGER, step: 1 },
  ] as const;
  return (
    <details class="settings">
      <summary>Settings</summary>
      <div class="numbers">
        {numbers.map(({ name, field, least, most, step }) => (
          <label key={field}>
            <span>{name}</span>
            <input
              type="number"
              inputMode={step < 1 ? "decimal" : "numeric"}
              min={least}
              max={most}
              step={step}
              value={ask[field]}
              onChange={(event) => {
                const found = event.currentTarget.valueAsNumber;
                const kept = Number.isFinite(found) ? Math.min(most, Math.max(least, found)) : ask[field];
                const whole = step < 1 ? kept : Math.round(kept);
                event.currentTarget.value = String(whole);
                change({ [field]: whole, ...(field === "k" ? { values: null, weights: null } : {}) });
              }}
            />
          </label>
        ))}
      </div>
      <p class="hint">At temperature 0 the likeliest word is always taken, and the seed changes nothing.</p>
    </details>
  );
}
