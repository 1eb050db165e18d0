/** Three columns: the plain model, the values, and what becomes of their comments. */

import { useState } from "preact/hooks";
import { Distribution, Mixture } from "./distribution";
import type { Answer, Comment, Overton, Steerable, Value } from "./records";
import type { Run } from "./session";
import { bring, hueOf, percent, wide } from "./shown";
import { fullTint, Tokens } from "./tokens";

interface Given {
  run: Run;
  values: Value[];
  weights: Record<string, number> | null;
  onWeights(weights: Record<string, number> | null): void;
}

/** What is pointed at: a comment by its place, or a sentence by its own. */
type Pointed = { comment: number } | { sentence: number } | null;

export function Results({ run, values, weights, onWeights }: Given) {
  const [pointed, setPointed] = useState<Pointed>(null);
  const claims = run.answer?.mode === "overton" ? run.answer.claims : [];
  const isLit = (comment: number) =>
    pointed !== null &&
    ("comment" in pointed ? pointed.comment === comment : (claims[pointed.sentence]?.comments.includes(comment) ?? false));
  return (
    <section class="results" aria-label="Answers" aria-busy={run.state === "running"}>
      <Plain run={run} />
      <Comments run={run} values={values} isLit={isLit} onPoint={setPointed} />
      <article class="column outcome" aria-labelledby="outcome-heading">
        <header class="column-head">
          <h2 id="outcome-heading">{HEADINGS[run.ask.mode]}</h2>
          <p>{SAYS[run.ask.mode]}</p>
        </header>
        {run.answer ? (
          <Outcome
            answer={run.answer}
            values={values}
            weights={weights}
            pointed={pointed}
            onPoint={setPointed}
            onWeights={onWeights}
          />
        ) : (
          <Pending run={run} words="It is made of the comments once they are written." />
        )}
      </article>
    </section>
  );
}

const HEADINGS = { overton: "Pluralistic response", steerable: "Answer of the target", distributional: "Mixture" };
const SAYS = {
  overton: "Each sentence names the comments that say it.",
  steerable: "The comment that fits the target best, and the answer with it.",
  distributional: "The options as each value sees them, and all together.",
};

function Plain({ run }: { run: Run }) {
  const text = run.unsteered?.response ?? run.plain;
  return (
    // A long text scrolls in it.
    <article class="column plain" aria-labelledby="plain-heading" tabIndex={0}>
      <header class="column-head">
        <h2 id="plain-heading">Unsteered</h2>
        <p>What the model says by itself, asked the same.</p>
      </header>
      {text && (
        <p class="text" dir="auto">
          {text}
        </p>
      )}
      {run.unsteeredProblem ? (
        <p class="hint" role="status">
          {run.unsteeredProblem}
        </p>
      ) : (
        !text && <Pending run={run} words="" />
      )}
      {run.unsteered?.refused && <p class="note">It declines to comment, or speaks of itself as a machine.</p>}
    </article>
  );
}

function Pending({ run, words }: { run: Run; words: string }) {
  if (run.state !== "running") return <p class="hint">{run.state === "stopped" ? "Stopped." : "Nothing came."}</p>;
  return (
    <div class="pending">
      <span class="line" />
      <span class="line" />
      <span class="line short" />
      {words && <p class="hint">{words}</p>}
    </div>
  );
}

interface CommentsGiven {
  run: Run;
  values: Value[];
  isLit(comment: number): boolean;
  onPoint(pointed: Pointed): void;
}

function Comments({ run, values, isLit, onPoint }: CommentsGiven) {
  const most = fullTint(run.tokens);
  const finished = new Map((run.answer?.comments ?? []).map((one) => [one.value, one]));
  return (
    <section class="column comments" aria-labelledby="comments-heading">
      <header class="column-head">
        <h2 id="comments-heading">The values’ comments</h2>
        <p>
          The model, steered toward one value at a time. The stronger a word is tinted, the further it points toward the
          value; hover or arrow keys show how far.
        </p>
      </header>
      {run.values.length === 0 && <Pending run={run} words="The values are being found." />}
      <ol>
        {run.values.map((selection, place) => (
          <Said
            key={selection.value}
            run={run}
            place={place}
            comment={finished.get(selection.value)}
            values={values}
            most={most}
            lit={isLit(place)}
            onPoint={onPoint}
          />
        ))}
      </ol>
    </section>
  );
}

interface SaidGiven {
  run: Run;
  place: number;
  comment: Comment | undefined;
  values: Value[];
  most: number;
  lit: boolean;
  onPoint(pointed: Pointed): void;
}

/** One value's comment: as it comes, then with its tokens tinted. */
function Said({ run, place, comment, values, most, lit, onPoint }: SaidGiven) {
  const [reading, setReading] = useState({ said: "", byKey: false });
  const selection = run.values[place];
  const slug = selection?.value ?? "";
  const value = values.find((one) => one.slug === slug);
  const label = value?.label ?? slug;
  const text = comment?.text ?? run.said[slug] ?? "";
  const tokens = run.tokens[slug] ?? [];
  return (
    <li
      id={`comment-${place}`}
      tabIndex={-1}
      class={`comment ${hueOf(value, values)} ${lit ? "lit" : ""}`}
      onMouseEnter={() => onPoint({ comment: place })}
      onMouseLeave={() => onPoint(null)}
    >
      <header>
        <span class="number" aria-hidden="true">
          {place + 1}
        </span>
        <h3>{label}</h3>
        {comment && <Stance comment={comment} />}
        <span class={`hint gauge ${reading.said ? "spoken" : ""}`} dir="auto" aria-live={reading.byKey ? "polite" : "off"}>
          {reading.said || `relevance ${percent(selection?.score ?? 0)}`}
        </span>
      </header>
      {tokens.length > 0 ? (
        <Tokens text={text} tokens={tokens} label={label} most={most} onReading={(said, byKey) => setReading({ said, byKey })} />
      ) : text ? (
        <div class="comment-text" dir="auto">
          {text}
        </div>
      ) : (
        <p class="hint">{run.state === "running" ? "…" : "No comment."}</p>
      )}
      {comment && <Notes comment={comment} />}
    </li>
  );
}

function Stance({ comment }: { comment: Comment }) {
  const sides = Object.entries(comment.stance).sort((a, b) => b[1] - a[1]);
  const first = sides[0];
  if (!first) return null;
  const words = { support: "supports", oppose: "opposes", either: "either way" }[first[0]] ?? first[0];
  return <span class={`stance ${first[0]}`}>{`${words} ${percent(first[1])}`}</span>;
}

function Notes({ comment }: { comment: Comment }) {
  const notes = [];
  if (comment.refused) notes.push("The model declined; this comment counts for nothing.");
  if (!comment.steered) notes.push("Nothing was added here: this is the plain model.");
  if (comment.repeats !== null) notes.push(`It says the same as comment ${comment.repeats + 1}.`);
  return notes.length ? <p class="note">{notes.join(" ")}</p> : null;
}

interface OutcomeGiven {
  answer: Answer;
  values: Value[];
  pointed: Pointed;
  onPoint(pointed: Pointed): void;
  weights: Record<string, number> | null;
  onWeights(weights: Record<string, number> | null): void;
}

function Outcome(given: OutcomeGiven) {
  const { answer } = given;
  if (answer.mode === "overton") return <Claims {...given} answer={answer} />;
  if (answer.mode === "steerable") return <Target {...given} answer={answer} />;
  return <Mixture answer={answer} values={given.values} chosen={given.weights} onWeights={given.onWeights} />;
}

function Claims({ answer, values, pointed, onPoint }: OutcomeGiven & { answer: Overton }) {
  const unsupported = answer.claims.filter((one) => !one.supported).length;
  return (
    <>
      <ul class="claims">
        {answer.claims.map((claim, place) => {
          const lit = pointed !== null && ("sentence" in pointed ? pointed.sentence === place : claim.comments.includes(pointed.comment));
          return (
            <li
              key={place}
              class={`claim ${claim.supported ? "" : "unsupported"} ${lit ? "lit" : ""}`}
              onMouseEnter={() => onPoint({ sentence: place })}
              onMouseLeave={() => onPoint(null)}
              onFocusCapture={() => onPoint({ sentence: place })}
              onBlurCapture={() => onPoint(null)}
            >
              <span class="sentence" dir="auto">
                {claim.text}
              </span>{" "}
              {claim.comments.map((comment) => (
                <Reference key={comment} comment={comment} answer={answer} values={values} />
              ))}
              {!claim.supported && <span class="flag">no comment says this</span>}
            </li>
          );
        })}
      </ul>
      <p class="hint">
        {unsupported === 0
          ? "Every sentence is supported by a comment."
          : `${unsupported} of ${answer.claims.length} sentences are supported by no comment.`}
      </p>
    </>
  );
}

interface ReferenceGiven {
  comment: number;
  answer: Answer;
  values: Value[];
}

function Reference({ comment, answer, values }: ReferenceGiven) {
  const slug = answer.comments[comment]?.value ?? "";
  const value = values.find((one) => one.slug === slug);
  return (
    <button type="button" class={`reference ${hueOf(value, values)}`} onClick={() => show(comment)}>
      <span class="unseen">Comment </span>
      {comment + 1}
      <span class="unseen">{`, ${value?.label ?? slug}`}</span>
    </button>
  );
}

function show(comment: number): void {
  bring(`comment-${comment}`, "nearest")?.focus({ preventScroll: true });
}

function Target({ answer, values }: OutcomeGiven & { answer: Steerable }) {
  const label = (place: number) => {
    const slug = answer.comments[place]?.value ?? "";
    return values.find((one) => one.slug === slug)?.label ?? slug;
  };
  const order = answer.fit.map((_, place) => place).sort((a, b) => (answer.fit[b] ?? 0) - (answer.fit[a] ?? 0));
  return (
    <>
      <p class="verdict">
        <span class="hint">
          For <span dir="auto">{answer.target}</span>
        </span>
        <strong dir="auto">{answer.response}</strong>
      </p>
      {answer.distribution ? (
        <Distribution options={answer.options} shares={answer.distribution} />
      ) : (
        <p class="hint">The reader wrote a letter, and no distribution.</p>
      )}
      <h3>Which comment fits the target</h3>
      <ul class="fits">
        {order.map((place) => (
          <li key={place}>
            <Reference comment={place} answer={answer} values={values} />
            <span class="who">{label(place)}</span>
            <span class="bar" aria-hidden="true">
              <span style={wide(answer.fit[place] ?? 0)} />
            </span>
            <span class="amount">{percent(answer.fit[place] ?? 0)}</span>
          </li>
        ))}
      </ul>
    </>
  );
}
