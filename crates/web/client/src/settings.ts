// What is remembered on this machine: name, skill, queue, sound. Where storage is forbidden, for this page only.

import { signal, type Signal } from "@preact/signals";

import { MODES, SKILLS, type Mode, type Skill } from "rally-sdk";

function remembered<T>(key: string, first: T, read: (text: string) => T | undefined, write: (value: T) => string): Signal<T> {
  let value = first;
  try {
    const text = localStorage.getItem(key);
    if (text !== null) value = read(text) ?? first;
  } catch {
    // Storage is forbidden.
  }
  const kept = signal(value);
  kept.subscribe((now) => {
    try {
      localStorage.setItem(key, write(now));
    } catch {
      // Forbidden or full: it holds while the page is open.
    }
  });
  return kept;
}

const one =
  <T extends string>(names: readonly T[]) =>
  (text: string): T | undefined =>
    names.find((name) => name === text);
const text = (value: string) => value;
const flag = (value: string): boolean => value === "yes";
const flagText = (value: boolean): string => (value ? "yes" : "no");

export const name = remembered<string>("rally.name", "", text, text);
export const skill = remembered<Skill>("rally.skill", "smash", one(SKILLS), text);
export const queueMode = remembered<Mode>("rally.queue", "casual", one(MODES), text);
export const classic = remembered<boolean>("rally.classic", false, flag, flagText);
export const sound = remembered<boolean>("rally.sound", true, flag, flagText);

/** Whether an account was signed in here: a new tab then asks for it. */
export const account = remembered<boolean>("rally.account", false, flag, flagText);

const motion = matchMedia("(prefers-reduced-motion: reduce)");
export const reducedMotion = signal(motion.matches);
motion.addEventListener("change", () => {
  reducedMotion.value = motion.matches;
});
