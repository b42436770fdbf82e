// The HTTP API about one's own account: by what one signs in, and where letters go.

import { type SignIn, call } from "./api.ts";

/** What proves once more that one is oneself. Who has no password leaves it out, and has to have signed in just now. */
export interface Proof {
  password?: string;
  totp?: string;
}

export interface LinkedSite {
  name: string;
  label: string;
  email: string | null;
  since: string;
}

export interface OwnAccount {
  /** An address that one has shown to read. */
  email: string | null;
  /** Whether letters are written here at all. */
  writes_letters: boolean;
  has_password: boolean;
  has_totp: boolean;
  linked: LinkedSite[];
}

export function account(token: string): Promise<OwnAccount> {
  return call("GET", "", "/users/me/account", undefined, token);
}

/** The second factor of who comes back from another site; the cookie says who that is. */
export function confirmArrival(code: string): Promise<SignIn> {
  return call("POST", "", "/auth/oauth/confirm", { code });
}

/** Where to send the browser so that one signs in by that site too from then on. */
export function link(site: string, proof: Proof, token: string): Promise<{ url: string }> {
  return call("POST", "", `/auth/oauth/${encodeURIComponent(site)}/start`, proof, token);
}

/** Signs in by that site no more, and ends all other logins. */
export function unlink(site: string, proof: Proof, token: string): Promise<void> {
  return call("DELETE", "", `/auth/oauth/${encodeURIComponent(site)}`, proof, token);
}

/** Has a letter with a code sent to this address. */
export function setEmail(email: string, proof: Proof, token: string): Promise<void> {
  return call("PUT", "", "/auth/email", { ...given(proof), email }, token);
}

export function confirmEmail(code: string, token: string): Promise<void> {
  return call("POST", "", "/auth/email/confirm", { code }, token);
}

/** A secret for an authenticator, to be confirmed by its first code. */
export function enrolTotp(proof: Proof, token: string): Promise<{ secret: string; url: string }> {
  return call("POST", "", "/auth/totp/enrol", given(proof), token);
}

/** Puts it into effect. The codes stand in for a lost authenticator, each once. */
export function confirmTotp(code: string, token: string): Promise<{ recovery_codes: string[] }> {
  return call("POST", "", "/auth/totp/confirm", { code }, token);
}

export function disableTotp(proof: Proof, token: string): Promise<void> {
  return call("POST", "", "/auth/totp/disable", given(proof), token);
}

/** Ends all other logins. */
export function changePassword(newPassword: string, proof: Proof, token: string): Promise<void> {
  return call("POST", "", "/auth/password", { ...given(proof), new_password: newPassword }, token);
}

/** These want a password in any case; of who has none, any is as good. */
function given(proof: Proof): Proof {
  return { password: "none", ...proof };
}
