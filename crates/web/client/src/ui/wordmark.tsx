// The name of the game: its two Ls are the paddles, and the ball is in play between the legs of the A.

export function Wordmark() {
  return (
    <svg class="wordmark" viewBox="0 0 520 132" role="img" aria-label="Rally">
      <g fill="none" stroke-width="20" stroke-linecap="round" stroke-linejoin="round">
        <path class="ink" d="M16 116V16h46a30 30 0 0 1 0 60H16M58 76l38 40" />
        <path class="ink" d="M124 116 168 16l44 100" />
        <path class="left" d="M250 16v100h52" />
        <path class="right" d="M340 16v100h52" />
        <path class="ink" d="m412 16 44 54 44-54M456 70v46" />
      </g>
      <circle class="ball" cx="168" cy="96" r="13" />
    </svg>
  );
}
