// Counts down by itself.

import { useEffect, useState } from "preact/hooks";

export function SecondsLeft({ untilMs }: { untilMs: number }) {
  const [, redraw] = useState(0);
  useEffect(() => {
    const timer = setInterval(() => redraw((n) => n + 1), 250);
    return () => clearInterval(timer);
  }, []);
  return <>{Math.max(0, Math.ceil((untilMs - performance.now()) / 1000))} s</>;
}
