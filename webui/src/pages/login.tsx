/** Logging in, by name and password or by a token. */

import { useState } from "preact/hooks";
import { whoAmI } from "../app.ts";
import { session } from "../data/api.ts";
import { afterLogin } from "../paths.ts";
import { go, path, query } from "../router.ts";
import { useTitle } from "../ui/parts.tsx";

export function LoginPage() {
  useTitle("Log in");
  const [byToken, setByToken] = useState(false);
  const [problem, setProblem] = useState("");
  const [busy, setBusy] = useState(false);
  const submit = async (event: SubmitEvent) => {
    event.preventDefault();
    const form = new FormData(event.currentTarget as HTMLFormElement);
    const text = (name: string) => String(form.get(name) ?? "");
    setBusy(true);
    setProblem("");
    try {
      await (byToken
        ? session.loginByToken(text("token").trim())
        : session.login(text("username").trim(), text("password")));
      await whoAmI();
      if (path.value === "/login") go(afterLogin(query.value.get("to"), location.origin), { replace: true });
    } catch (e) {
      setProblem(e instanceof Error ? e.message : String(e));
    } finally {
      setBusy(false);
    }
  };
  return (
    <main id="main" class="login">
      <form class="card" onSubmit={submit}>
        <img src="/assets/icon.svg" width="40" height="40" alt="" />
        <h1>Log in</h1>
        {byToken ? (
          <label class="field">
            Token
            <input name="token" type="password" autocomplete="off" required />
          </label>
        ) : (
          <>
            <label class="field">
              User
              <input name="username" autocomplete="username" defaultValue="determined" required />
            </label>
            <label class="field">
              Password
              <input name="password" type="password" autocomplete="current-password" />
            </label>
          </>
        )}
        {problem && (
          <p class="problem" role="alert">
            {problem}
          </p>
        )}
        <button type="submit" class="btn primary" disabled={busy}>
          {busy ? "One moment…" : "Log in"}
        </button>
        <button type="button" class="link" onClick={() => setByToken(!byToken)}>
          {byToken ? "With name and password" : "With a token"}
        </button>
        <p class="note">
          On the master's own computer, <code>det ui</code> opens this page without a password.
        </p>
      </form>
    </main>
  );
}
