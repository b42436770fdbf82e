// One of a few: radio buttons that look like a switch.

import type { ComponentChildren } from "preact";

interface Option<T extends string> {
  value: T;
  label: string;
  /** What it means, below the label. */
  about?: ComponentChildren;
}

interface Props<T extends string> {
  name: string;
  legend: string;
  options: readonly Option<T>[];
  value: T;
  onChange: (value: T) => void;
}

export function Choice<T extends string>({ name, legend, options, value, onChange }: Props<T>) {
  const tall = options.some((option) => option.about !== undefined);
  return (
    <fieldset class={tall ? "choice tall" : "choice"}>
      <legend>{legend}</legend>
      {options.map((option) => (
        <label key={option.value} class={option.value === value ? "chosen" : ""}>
          <input
            type="radio"
            name={name}
            value={option.value}
            checked={option.value === value}
            onChange={() => onChange(option.value)}
          />
          <span class="label">{option.label}</span>
          {option.about !== undefined && <span class="about">{option.about}</span>}
        </label>
      ))}
    </fieldset>
  );
}
