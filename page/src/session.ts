/** One visit: what is asked, the values found for it, and the answers so far. */

import { useCallback, useEffect, useRef, useState } from "preact/hooks";
import { bodyOf, plainAsk, type Ask } from "./asking";
import { askOf, linkOf } from "./linking";
import type { About, Answer, Comment, Mode, Selection, Token, Unsteered } from "./records";
import * as server from "./server";
import { remember } from "./storage";

/** An answer while it is made, and afterwards. */
export interface Run {
  ask: Ask;
  state: "running" | "done" | "stopped" | "failed";
  values: Selection[];
  said: Record<string, string>;
  plain: string;
  unsteered: Unsteered | null;
  /** Why there is no unsteered text. */
  unsteeredProblem: string;
  answer: Answer | null;
  tokens: Record<string, Token[]>;
  problem: string;
}

const PAUSE = 600;

export function useFound(ask: Ask, about: About | null) {
  const [found, setFound] = useState<{ text: string; values: Selection[] }>({ text: "", values: [] });
  const [problem, setProblem] = useState("");
  const [invalid, setInvalid] = useState(false);
  const [finding, setFinding] = useState(false);
  const [tries, setTries] = useState(0);
  // Who asks again by itself does so unseen.
  const unseen = useRef(false);
  const text = ask.text;
  useEffect(() => {
    const quietly = unseen.current;
    unseen.current = false;
    if (!about || !text.trim()) {
      setFound({ text: "", values: [] });
      setProblem("");
      setInvalid(false);
      return undefined;
    }
    const control = new AbortController();
    let timer = setTimeout(() => {
      if (!quietly) setFinding(true);
      server
        .select(text, ask.k, control.signal)
        .then((values) => {
          setFound({ text, values });
          setProblem("");
          setInvalid(false);
        })
        .catch((error: unknown) => {
          if (control.signal.aborted) return;
          setProblem(words(error));
          setInvalid(error instanceof server.Refused && error.status === 422);
          if (error instanceof server.Refused && error.mayPass) {
            timer = setTimeout(() => {
              unseen.current = true;
              setTries((n) => n + 1);
            }, error.pause);
          }
        })
        .finally(() => {
          if (!control.signal.aborted) setFinding(false);
        });
    }, PAUSE);
    return () => {
      clearTimeout(timer);
      control.abort();
      setFinding(false);
    };
  }, [text, ask.k, about, tries]);
  return { found: found.text === text ? found.values : [], finding, problem, invalid };
}

export function useRuns(about: About | null) {
  const [runs, setRuns] = useState<Partial<Record<Mode, Run>>>({});
  const control = useRef<AbortController | null>(null);

  const change = useCallback((mode: Mode, more: (run: Run) => Partial<Run>) => {
    setRuns((all) => {
      const run = all[mode];
      return run ? { ...all, [mode]: { ...run, ...more(run) } } : all;
    });
  }, []);

  const stop = useCallback(() => control.current?.abort(), []);

  const start = useCallback(
    async (ask: Ask) => {
      if (!about) return;
      control.current?.abort();
      const mine = new AbortController();
      control.current = mine;
      const mode = ask.mode;
      const told = (more: (run: Run) => Partial<Run>) => {
        if (control.current === mine) change(mode, more);
      };
      setRuns((all) => ({ ...all, [mode]: newRun(ask) }));
      history.replaceState(null, "", linkOf(ask));
      const body = bodyOf(ask, about);
      const heard: server.Heard = {
        selected: (values) => told(() => ({ values })),
        said: (value, text) =>
          told((run) =>
            value === null
              ? { plain: run.plain + text }
              : { said: { ...run.said, [value]: (run.said[value] ?? "") + text } },
          ),
      };
      const plain = () =>
        server
          .unsteered(body, heard, mine.signal)
          .then((unsteered) => told(() => ({ unsteered })))
          .catch((error: unknown) => error);
      try {
        // The answer goes first: a server may have room for one of the two.
        let beside: Promise<unknown> | undefined;
        const begun = () => {
          beside = plain();
        };
        const respond = () => server.respond(body, { ...heard, begun }, mine.signal);
        const answer = await respond().catch(async (error: unknown) => {
          // What keeps its place from it may be the page's own search for values.
          if (!(error instanceof server.Refused && error.status === 429)) throw error;
          await pause(error.pause, mine.signal);
          return respond();
        });
        told(() => ({ answer, values: answer.values }));
        remember(ask, answer.response);
        let problem = await beside;
        if (problem instanceof server.Refused && problem.mayPass) {
          told(() => ({ plain: "" }));
          problem = await plain();
        }
        if (problem && !mine.signal.aborted) told(() => ({ unsteeredProblem: words(problem) }));
        told(() => ({ state: "done" }));
        const tokens = await readings(answer.comments, mine.signal);
        told(() => ({ tokens }));
      } catch (error) {
        if (mine.signal.aborted) told((run) => (run.state === "running" ? { state: "stopped" } : {}));
        else told((run) => (run.answer ? { state: "done" } : { state: "failed", problem: words(error) }));
        // What runs beside it is for nothing.
        mine.abort();
      }
    },
    [about, change],
  );
  return { runs, start, stop };
}

/** Some time, or less where what waits is let go of. */
async function pause(time: number, signal: AbortSignal): Promise<void> {
  await new Promise((done, fail) => {
    setTimeout(done, time);
    signal.addEventListener("abort", fail);
  });
}

function newRun(ask: Ask): Run {
  return {
    ask, state: "running", values: [], said: {}, plain: "", unsteered: null, unsteeredProblem: "", answer: null,
    tokens: {}, problem: "",
  };
}

async function readings(comments: Comment[], signal: AbortSignal): Promise<Record<string, Token[]>> {
  const items = comments.filter((one) => one.text.trim()).map(({ value, text }) => ({ value, text }));
  if (!items.length) return {};
  const found = await server.tokens(items, signal);
  return Object.fromEntries(items.map(({ value }, place) => [value, found[place] ?? []]));
}

/** What is asked; a link in the address goes first, also one that comes later. */
export function useAsk(about: About | null) {
  const [ask, setAsk] = useState<Ask>(() => askOf(location.hash, null) ?? plainAsk(null));
  useEffect(() => {
    const follow = () => {
      const linked = askOf(location.hash, about);
      if (linked) setAsk(linked);
    };
    addEventListener("hashchange", follow);
    return () => removeEventListener("hashchange", follow);
  }, [about]);
  const known = useRef(false);
  useEffect(() => {
    // Once: what has been written since is not taken back when the server is asked anew.
    if (!about || known.current) return;
    known.current = true;
    const { k, tokens } = plainAsk(about);
    const first = plainAsk(null);
    setAsk((now) => {
      // What was written before the server answered stays.
      const untouched = JSON.stringify(now) === JSON.stringify(askOf(location.hash, null));
      const linked = untouched ? askOf(location.hash, about) : null;
      return linked ?? { ...now, k: now.k === first.k ? k : now.k, tokens: now.tokens === first.tokens ? tokens : now.tokens };
    });
  }, [about]);
  const change = useCallback((more: Partial<Ask>) => setAsk((now) => ({ ...now, ...more })), []);
  return { ask, change, setAsk };
}

export function words(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
