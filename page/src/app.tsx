/** The page. */

import { useCallback, useEffect, useState } from "preact/hooks";
import { sameRequest, type Ask } from "./asking";
import { Composer } from "./composer";
import { copy, Export, History, KeyDialog } from "./dialogs";
import { Icon, Mark } from "./icons";
import { linkOf } from "./linking";
import type { About, Value } from "./records";
import { Results } from "./results";
import * as server from "./server";
import { useAsk, useFound, useRuns, words, type Run } from "./session";
import { bring, parameters } from "./shown";
import { applyTheme, storedKey, storedTheme, type Theme } from "./storage";
import { Values } from "./values";

/** The served model, asked for until it is there. */
function useServer() {
  const [found, setFound] = useState<{ about: About; values: Value[] } | null>(null);
  const [problem, setProblem] = useState<{ status: number; code: string; message: string } | null>(null);
  const [tries, setTries] = useState(0);
  useEffect(() => {
    let gone = false;
    let timer: ReturnType<typeof setTimeout> | undefined;
    server
      .about()
      .then((all) => {
        if (gone) return;
        setFound(all);
        setProblem(null);
      })
      .catch((error: unknown) => {
        if (gone) return;
        const refused = error instanceof server.Refused ? error : new server.Refused(0, words(error), "");
        setProblem({ status: refused.status, code: refused.code, message: refused.message });
        if (refused.status !== 401 && refused.status !== 403) timer = setTimeout(() => setTries((n) => n + 1), refused.pause);
      });
    return () => {
      gone = true;
      clearTimeout(timer);
    };
  }, [tries]);
  // A key may be taken back while the page is open.
  useEffect(() => {
    const ask = () => setTries((n) => n + 1);
    addEventListener(server.KEY_ASKED_FOR, ask);
    return () => removeEventListener(server.KEY_ASKED_FOR, ask);
  }, []);
  return { found, problem, again: useCallback(() => setTries((n) => n + 1), []) };
}

export function App() {
  const { found, problem, again } = useServer();
  const about = found?.about ?? null;
  const values = found?.values ?? [];
  const { ask, change, setAsk } = useAsk(about);
  const choosing = useFound(ask, about);
  const { runs, start, stop } = useRuns(about);
  const [open, setOpen] = useState<"" | "export" | "history" | "key">("");
  const [note, setNote] = useState("");
  const run = runs[ask.mode];
  const same = run !== undefined && about !== null && sameRequest(run.ask, ask, about);
  const running = Object.values(runs).some((one) => one.state === "running");
  const locked = problem?.status === 401;
  // What was said of a link is of that link alone.
  useEffect(() => setNote(""), [ask]);
  useEffect(() => {
    if (locked) setOpen("key");
  }, [locked, problem]);
  return (
    <>
      <a class="skip" href="#situation" onClick={focusSituation}>
        To the situation
      </a>
      <Header about={about} locked={locked || storedKey() !== null} onOpen={setOpen} />
      <main>
        {problem && !locked && (
          <p class="banner" role="status">
            {problem.code === "starting" ? "The model is loading; this page goes on when it is there." : problem.message}
          </p>
        )}
        {locked && (
          <p class="banner">
            This server asks for a key.{" "}
            <button type="button" onClick={() => setOpen("key")}>
              Enter the key
            </button>
          </p>
        )}
        <Composer
          ask={ask}
          about={about}
          values={values}
          running={running}
          problem={choosing.problem}
          invalid={choosing.invalid}
          change={change}
          onExample={(example) => setAsk((now) => ({ ...now, toward: "", options: "", values: null, weights: null, strengths: {}, ...example }))}
          onAnswer={() => {
            void start(ask);
            requestAnimationFrame(() => bring("answers"));
          }}
          onStop={stop}
        />
        {about && <Values {...choosing} ask={ask} about={about} values={values} change={change} />}
        <p class="unseen" role="status">
          {spoken(run, choosing.found.length, choosing.finding)}
        </p>
        {run && (
          <>
            {run.problem && (
              <p class="banner problem" role="alert">
                {run.problem}
              </p>
            )}
            <div class="toolbar" id="answers">
              <p class="hint">
                {run.state === "running" ? "Writing…" : same ? "" : "What you ask has changed: answer again to see it."}
              </p>
              <button
                type="button"
                onClick={() => {
                  history.replaceState(null, "", linkOf(ask));
                  void copy(location.href).then((done) => setNote(done ? "Link copied." : "The link is in the address bar."));
                }}
              >
                <Icon name="link" /> Link
              </button>
              <button type="button" onClick={() => setOpen("export")}>
                <Icon name="code" /> Export
              </button>
              <span class="hint" role="status">
                {note}
              </span>
            </div>
            {run.state !== "failed" && (
              <Results
                key={run.ask.mode}
                run={run}
                values={values}
                weights={same ? ask.weights : run.ask.weights}
                onWeights={(weights) => change({ weights })}
              />
            )}
          </>
        )}
        {about && <Notice about={about} />}
      </main>
      {open === "export" && about && <Export ask={ask} about={about} onClose={() => setOpen("")} />}
      {open === "history" && (
        <History
          onClose={() => setOpen("")}
          onChoose={(past: Ask) => {
            setAsk(past);
            setOpen("");
            scrollTo({ top: 0 });
          }}
        />
      )}
      {open === "key" && (
        <KeyDialog
          problem={locked && storedKey() ? "The server does not know this key." : ""}
          onClose={() => setOpen("")}
          onKey={() => {
            setOpen("");
            again();
          }}
        />
      )}
    </>
  );
}

function focusSituation(event: Event): void {
  event.preventDefault();
  document.getElementById("situation")?.focus();
}

/** What a screen reader is told as an answer comes about. */
function spoken(run: Run | undefined, found: number, finding: boolean): string {
  if (run?.state === "running") {
    if (run.answer) return "The answer is there; the last lines are being read.";
    return run.values.length ? `${run.values.length} values speak.` : "The values are being found.";
  }
  if (run?.state === "done" && run.answer) return `The answer is there: ${run.answer.response}`;
  if (run?.state === "stopped") return "Stopped.";
  return finding || !found ? "" : `${found} values found.`;
}

interface HeaderGiven {
  about: About | null;
  locked: boolean;
  onOpen(name: "history" | "key"): void;
}

function Header({ about, locked, onOpen }: HeaderGiven) {
  const [theme, setTheme] = useState<Theme>(storedTheme);
  const next: Record<Theme, Theme> = { system: "light", light: "dark", dark: "system" };
  return (
    <header class="page-head">
      <div class="brand">
        <Mark />
        <span>VISPA</span>
      </div>
      {about && (
        <p class="model">
          <span class="dot" aria-hidden="true" /> <span class="unseen">Model: </span>
          {about.model}
        </p>
      )}
      <nav aria-label="Page">
        {locked && (
          <button type="button" class="quiet" onClick={() => onOpen("key")}>
            <Icon name="key" /> <span class="wide">Key</span>
          </button>
        )}
        <button type="button" class="quiet" onClick={() => onOpen("history")}>
          <Icon name="clock" /> <span class="wide">History</span>
        </button>
        <button
          type="button"
          class="quiet"
          aria-label={`${{ system: "Auto", light: "Light", dark: "Dark" }[theme]} colours. Switch to ${next[theme]}.`}
          onClick={() => {
            applyTheme(next[theme]);
            setTheme(next[theme]);
          }}
        >
          <Icon name={theme === "system" ? "half" : theme === "light" ? "sun" : "moon"} />{" "}
          <span class="wide">{{ system: "Auto", light: "Light", dark: "Dark" }[theme]}</span>
        </button>
      </nav>
    </header>
  );
}

function Notice({ about }: { about: About }) {
  return (
    <section class="notice" aria-labelledby="notice-heading">
      <h2 id="notice-heading">Who speaks here</h2>
      <p>
        <strong>{about.model}</strong>, a language model of {parameters(about.parameters)}, on this server.{" "}
        {about.is_embedded
          ? "It is a toy that ships with VISPA: it knows a few phrases and hardly reads what you write. Serve another model to get answers worth reading."
          : "A model of this size makes mistakes, loses the thread and states things that are not so."}
      </p>
      <p>
        It cannot look anything up, does not know you, and is no doctor, lawyer or counsellor. A comment is what the model
        says when it is pushed toward a value, not what people who hold that value think; percentages measure the model, not
        people. What you write goes to this server and nowhere else.
      </p>
    </section>
  );
}
