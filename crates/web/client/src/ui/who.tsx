// Name and skill: what one must say before the first match.

import { skill } from "../settings.ts";
import type { Skill } from "rally-sdk";
import { Choice } from "./choice.tsx";

export const NAME = /^[A-Za-z0-9_]{3,20}$/;

interface NameProps {
  value: string;
  onInput: (value: string) => void;
  /** Whether to point out that it is wrong. */
  wrong: boolean;
}

export function NameField({ value, onInput, wrong }: NameProps) {
  return (
    <div class="field-row">
      <p class="split">
        <label for="name">Your name</label>
        <span id="name-rule" class={wrong ? "hint wrong" : "hint"}>
          3 to 20 letters, digits or _
        </span>
      </p>
      <input
        id="name"
        name="name"
        type="text"
        autocomplete="nickname"
        autocapitalize="off"
        spellcheck={false}
        maxLength={20}
        placeholder="Give yourself a name"
        value={value}
        aria-invalid={wrong}
        aria-describedby="name-rule"
        onInput={(event) => onInput(event.currentTarget.value.trim())}
      />
    </div>
  );
}

const SKILLS: { value: Skill; label: string; about: string }[] = [
  { value: "smash", label: "Smash", about: "Hits 20 % harder. Every 3 s." },
  { value: "dash", label: "Dash", about: "Leaps at full speed. Every 5 s." },
];

export function SkillChoice() {
  return (
    <Choice
      name="skill"
      legend="Your skill"
      options={SKILLS}
      value={skill.value}
      onChange={(value) => {
        skill.value = value;
      }}
    />
  );
}
