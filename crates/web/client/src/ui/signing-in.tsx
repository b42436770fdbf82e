// By what one signs in: a password, a second factor, other sites; and where letters go.

import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { own, Refused, type SignInSite, signInSites } from "rally-sdk";

import { explainError, session } from "../app.ts";

type Act = (what: (token: string, proof: own.Proof) => Promise<string | null>) => Promise<void>;

export function SigningIn() {
  const now = useSignal<own.OwnAccount | null>(null);
  const sites = useSignal<SignInSite[]>([]);
  const password = useSignal("");
  const totp = useSignal("");
  const said = useSignal<string | null>(null);

  const look = async () => {
    const token = await session.fresh();
    const [account, found] = await Promise.all([own.account(token), signInSites()]);
    [now.value, sites.value] = [account, found.items];
  };
  useEffect(() => {
    look().catch((error: unknown) => {
      said.value = explainError(error);
    });
  }, []);

  // Whatever is changed here is proved once more.
  const act: Act = async (what) => {
    const proof = {
      ...(password.value === "" ? {} : { password: password.value }),
      ...(totp.value === "" ? {} : { totp: totp.value }),
    };
    try {
      said.value = await what(await session.fresh(), proof);
      await look();
    } catch (error) {
      said.value = error instanceof Refused && error.status < 500 ? error.message : explainError(error);
    }
    totp.value = "";
  };

  const account = now.value;
  if (account === null) return said.value === null ? null : <p class="notice bad">{said.value}</p>;
  return (
    <details class="signing-in">
      <summary>Signing in</summary>
      {account.has_password && (
        <Field id="own-password" label="Your password, for what you change here" type="password" value={password} autocomplete="current-password" />
      )}
      {account.has_totp && (
        <Field id="own-totp" label="Code of your authenticator" type="text" value={totp} autocomplete="one-time-code" />
      )}
      {!account.has_password && <p class="hint">You have no password: change things here within ten minutes of signing in.</p>}
      {said.value !== null && (
        <p class="notice" role="status">
          {said.value}
        </p>
      )}
      <Sites account={account} sites={sites.value} act={act} />
      <Letters account={account} act={act} />
      <Factor account={account} act={act} />
      <Password account={account} act={act} />
    </details>
  );
}

interface FieldProps {
  id: string;
  label: string;
  type: "text" | "password" | "email";
  value: { value: string };
  autocomplete?: "current-password" | "new-password" | "one-time-code" | "email" | "off";
}

function Field({ id, label, type, value, autocomplete = "off" }: FieldProps) {
  return (
    <div class="field-row">
      <label for={id}>{label}</label>
      <input
        id={id}
        // One of the shapes that the types tell apart, which is all the same here.
        type={type as "text"}
        autocomplete={autocomplete}
        value={value.value}
        onInput={(event) => {
          value.value = event.currentTarget.value.trim();
        }}
      />
    </div>
  );
}

interface Part {
  account: own.OwnAccount;
  act: Act;
}

function Sites({ account, sites, act }: Part & { sites: SignInSite[] }) {
  const others = sites.filter((site) => !account.linked.some((linked) => linked.name === site.name));
  if (account.linked.length + others.length === 0) return null;
  const add = (site: string) =>
    act(async (token, proof) => {
      location.assign((await own.link(site, proof, token)).url);
      return null;
    });
  const remove = (site: own.LinkedSite) =>
    act(async (token, proof) => {
      await own.unlink(site.name, proof, token);
      return `You do not sign in with ${site.label} any more. Everything else of yours is signed out.`;
    });
  return (
    <section>
      <h2>Other sites</h2>
      <ul>
        {account.linked.map((site) => (
          <li key={site.name} class="split">
            <span>
              {site.label} <span class="hint">{site.email ?? ""}</span>
            </span>
            <button type="button" class="quiet" onClick={() => void remove(site)}>
              Remove {site.label}
            </button>
          </li>
        ))}
        {others.map((site) => (
          <li key={site.name}>
            <button type="button" class="quiet" onClick={() => void add(site.name)}>
              Add {site.label}
            </button>
          </li>
        ))}
      </ul>
    </section>
  );
}

function Letters({ account, act }: Part) {
  const email = useSignal("");
  const code = useSignal("");
  const waits = useSignal(false);
  if (!account.writes_letters) return null;
  const set = () =>
    act(async (token, proof) => {
      await own.setEmail(email.value, proof, token);
      waits.value = true;
      return `A letter with a code is on its way to ${email.value}.`;
    });
  const confirm = () =>
    act(async (token) => {
      await own.confirmEmail(code.value, token);
      [waits.value, code.value, email.value] = [false, "", ""];
      return "Letters go there from now on.";
    });
  return (
    <section>
      <h2>Letters</h2>
      <p class="hint">
        {account.email === null
          ? "With an address you can get a code when you have forgotten your password."
          : `They go to ${account.email}.`}
      </p>
      <form
        onSubmit={(event) => {
          event.preventDefault();
          void (waits.value ? confirm() : set());
        }}
      >
        {waits.value ? (
          <Field id="email-code" label="Code of the letter" type="text" value={code} />
        ) : (
          <Field id="email" label="Your address" type="email" value={email} autocomplete="email" />
        )}
        <button type="submit">{waits.value ? "Confirm address" : "Send me a code"}</button>
      </form>
    </section>
  );
}

function Factor({ account, act }: Part) {
  const secret = useSignal<{ secret: string; url: string } | null>(null);
  const code = useSignal("");
  const papers = useSignal<string[]>([]);
  const enrol = () =>
    act(async (token, proof) => {
      secret.value = await own.enrolTotp(proof, token);
      return null;
    });
  const confirm = () =>
    act(async (token) => {
      papers.value = (await own.confirmTotp(code.value, token)).recovery_codes;
      [secret.value, code.value] = [null, ""];
      return "From now on the code of your authenticator is asked for.";
    });
  const disable = () =>
    act(async (token, proof) => {
      await own.disableTotp(proof, token);
      papers.value = [];
      return "No code is asked for any more.";
    });
  return (
    <section>
      <h2>Second factor</h2>
      {papers.value.length > 0 && (
        <div class="notice" role="alert">
          <p>Each of these stands in for a lost authenticator, once. They are shown only now.</p>
          <p class="papers">
            {papers.value.map((paper) => (
              <code key={paper}>{paper}</code>
            ))}
          </p>
        </div>
      )}
      {account.has_totp ? (
        <button type="button" onClick={() => void disable()}>
          Ask for no code any more
        </button>
      ) : secret.value === null ? (
        <button type="button" onClick={() => void enrol()}>
          Use an authenticator
        </button>
      ) : (
        <form
          onSubmit={(event) => {
            event.preventDefault();
            void confirm();
          }}
        >
          <p class="hint">
            Type this into your authenticator, or <a href={secret.value.url}>open it there</a>:{" "}
            <code class="secret">{secret.value.secret}</code>
          </p>
          <Field id="totp-code" label="The code that it shows" type="text" value={code} autocomplete="one-time-code" />
          <button type="submit">Confirm code</button>
        </form>
      )}
    </section>
  );
}

function Password({ account, act }: Part) {
  const wanted = useSignal("");
  const set = () =>
    act(async (token, proof) => {
      await own.changePassword(wanted.value, proof, token);
      wanted.value = "";
      return "It is set. Everything else of yours is signed out.";
    });
  return (
    <section>
      <h2>Password</h2>
      <form
        onSubmit={(event) => {
          event.preventDefault();
          void set();
        }}
      >
        <Field id="next-password" label="New password" type="password" value={wanted} autocomplete="new-password" />
        <button type="submit">{account.has_password ? "Change password" : "Set password"}</button>
      </form>
    </section>
  );
}
