/** What opens above the page: the request for other places, the past, and the key. */

import type { ComponentChildren } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { bodyOf, type Ask } from "./asking";
import { asCurl, asPython, asToml } from "./exporting";
import { Icon } from "./icons";
import type { About } from "./records";
import { forget, history, storedKey, storeKey, type Past } from "./storage";

interface DialogGiven {
  title: string;
  children: ComponentChildren;
  onClose(): void;
}

function Dialog({ title, children, onClose }: DialogGiven) {
  const place = useRef<HTMLDialogElement>(null);
  useEffect(() => {
    place.current?.showModal();
  }, []);
  return (
    <dialog
      ref={place}
      aria-labelledby="dialog-title"
      onClose={onClose}
      onClick={(event) => {
        if (event.target === place.current) place.current?.close();
      }}
    >
      <div class="dialog-body">
        <header>
          <h2 id="dialog-title">{title}</h2>
          <button type="button" class="quiet icon-only" aria-label="Close" onClick={() => place.current?.close()}>
            <Icon name="close" />
          </button>
        </header>
        {children}
      </div>
    </dialog>
  );
}

export function Export({ ask, about, onClose }: { ask: Ask; about: About; onClose(): void }) {
  const body = bodyOf(ask, about);
  const locked = storedKey() !== null;
  const forms = [
    { name: "curl", text: asCurl(body, location.origin, locked) },
    { name: "Python", text: asPython(body, location.origin, locked) },
    { name: "Recipe (TOML)", text: asToml(body.recipe ?? about.recipe) },
  ];
  const [chosen, setChosen] = useState(0);
  const [copied, setCopied] = useState(false);
  const form = forms[chosen];
  const code = useRef<HTMLPreElement>(null);
  return (
    <Dialog title="This request, elsewhere" onClose={onClose}>
      <div class="segments" role="group" aria-label="Form">
        {forms.map((one, place) => (
          <button
            type="button"
            key={one.name}
            aria-pressed={place === chosen}
            onClick={() => {
              setChosen(place);
              setCopied(false);
            }}
          >
            {one.name}
          </button>
        ))}
      </div>
      <pre ref={code} tabIndex={0} aria-label={form?.name}>
        <code>{form?.text}</code>
      </pre>
      <div class="actions">
        <button
          type="button"
          class="primary"
          onClick={() => {
            void copy(form?.text ?? "").then((done) => {
              setCopied(done);
              if (!done && code.current) getSelection()?.selectAllChildren(code.current);
            });
          }}
        >
          Copy
        </button>
        <span class="hint" role="status">
          {copied ? "Copied." : locked ? "The key itself is not in it." : ""}
        </span>
      </div>
    </Dialog>
  );
}

/** Whether a text could be put on the clipboard. */
export async function copy(text: string): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return false;
  }
}

export function History({ onChoose, onClose }: { onChoose(ask: Ask): void; onClose(): void }) {
  const [past, setPast] = useState<Past[]>(history);
  return (
    <Dialog title="History" onClose={onClose}>
      <p class="hint">It is kept in this browser only; the server keeps nothing of it.</p>
      {past.length === 0 ? (
        <p>Nothing yet.</p>
      ) : (
        <ol class="past">
          {past.map((one) => (
            <li key={one.at}>
              <button type="button" onClick={() => onChoose(one.ask)}>
                <span class="past-text" dir="auto">
                  {one.ask.text}
                </span>
                <span class="hint">
                  {one.ask.mode}, {new Date(one.at).toLocaleString()}
                </span>
                <span class="past-response" dir="auto">
                  {one.response}
                </span>
              </button>
            </li>
          ))}
        </ol>
      )}
      {past.length > 0 && (
        <div class="actions">
          <button
            type="button"
            onClick={() => {
              forget();
              setPast([]);
            }}
          >
            Clear history
          </button>
        </div>
      )}
    </Dialog>
  );
}

export function KeyDialog({ problem, onKey, onClose }: { problem: string; onKey(): void; onClose(): void }) {
  const [key, setKey] = useState("");
  return (
    <Dialog title="This server asks for a key" onClose={onClose}>
      <form
        onSubmit={(event) => {
          event.preventDefault();
          storeKey(key.trim());
          onKey();
        }}
      >
        <label for="key">API key</label>
        <input
          id="key"
          type="password"
          autocomplete="off"
          value={key}
          aria-describedby="key-hint"
          onInput={(event) => setKey(event.currentTarget.value)}
        />
        <p class="hint" id="key-hint">
          It is kept until this tab is closed, and sent to this server only.
        </p>
        {problem && (
          <p class="problem" role="alert">
            {problem}
          </p>
        )}
        <div class="actions">
          <button type="submit" class="primary" disabled={!/^[\x21-\x7e]+$/.test(key.trim())}>
            Use this key
          </button>
          {storedKey() && (
            <button
              type="button"
              onClick={() => {
                storeKey(null);
                onKey();
              }}
            >
              Forget the key
            </button>
          )}
        </div>
      </form>
    </Dialog>
  );
}
