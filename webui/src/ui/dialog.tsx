/** Questions before something that cannot be undone, and the list of keys. */

import { signal } from "@preact/signals";
import type { ComponentChildren } from "preact";
import { useEffect, useRef } from "preact/hooks";
import { HELP } from "../keys.ts";

interface Answer {
  readonly text: string;
  readonly kind?: "primary" | "danger";
  /** Enter gives this answer; without one of these it gives none. Only for what can be taken back. */
  readonly first?: boolean;
  act(): void;
}

interface Question {
  readonly title: string;
  readonly body: ComponentChildren;
  readonly answers: readonly Answer[];
  readonly wide?: boolean;
}

const open = signal<Question | null>(null);

/** Shows a question; closing it answers nothing. */
export function ask(question: Question): void {
  open.value = question;
}

export function closeDialog(): void {
  open.value = null;
}

export function askHelp(): void {
  ask({
    title: "Keys",
    body: (
      <dl class="keys">
        {HELP.map(([keys, what]) => (
          <div key={keys}>
            <dt>
              {keys.split("   ").map((k) => (
                <kbd key={k}>{k}</kbd>
              ))}
            </dt>
            <dd>{what}</dd>
          </div>
        ))}
      </dl>
    ),
    answers: [],
  });
}

export function DialogHost() {
  const question = open.value;
  const dialog = useRef<HTMLDialogElement>(null);
  const shown = useRef<Question | null>(null);
  useEffect(() => {
    const it = dialog.current;
    if (!it) return;
    shown.current = question;
    if (question && !it.open) it.showModal();
    if (question) it.querySelector<HTMLElement>(".first")?.focus();
    if (!question && it.open) it.close();
  }, [question]);
  const answer = (a: Answer) => {
    open.value = null;
    a.act();
  };
  return (
    // biome-ignore lint/a11y/useKeyWithClickEvents: Escape closes a dialog by itself
    <dialog
      ref={dialog}
      class={question?.wide ? "wide" : ""}
      aria-labelledby="dialog-title"
      // The browser tells of it later; there may be another question by then.
      onClose={() => open.value === shown.current && closeDialog()}
      onClick={(e) => e.target === dialog.current && closeDialog()}
    >
      {question && (
        <div class="dialog">
          <h2 id="dialog-title">{question.title}</h2>
          <div class="dialog-body">{question.body}</div>
          <div class="dialog-answers">
            <button type="button" class="btn" onClick={closeDialog}>
              {question.answers.length ? "Back" : "Close"}
            </button>
            {question.answers.map((a) => (
              <button
                type="button"
                key={a.text}
                class={`btn ${a.kind ?? ""} ${a.first ? "first" : ""}`}
                onClick={() => answer(a)}
              >
                {a.text}
              </button>
            ))}
          </div>
        </div>
      )}
    </dialog>
  );
}
