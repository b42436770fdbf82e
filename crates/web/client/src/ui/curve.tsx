// A rating over the last rated matches.

interface Point {
  at: string;
  rating: number;
}

const WIDTH = 560;
const HEIGHT = 120;
const MARGIN = 6;

export function Curve({ points }: { points: readonly Point[] }) {
  if (points.length < 2) return null;
  const ratings = points.map((point) => point.rating);
  const [low, high] = [Math.min(...ratings), Math.max(...ratings)];
  const x = (i: number) => MARGIN + (i / (points.length - 1)) * (WIDTH - 2 * MARGIN);
  const y = (rating: number) => HEIGHT - MARGIN - ((rating - low) / Math.max(1, high - low)) * (HEIGHT - 2 * MARGIN);
  const line = ratings.map((rating, i) => `${x(i).toFixed(1)},${y(rating).toFixed(1)}`).join(" ");
  return (
    <figure class="curve">
      <svg viewBox={`0 0 ${WIDTH} ${HEIGHT}`} role="img" aria-label={`Rating over ${points.length} matches`}>
        <polyline points={line} />
      </svg>
      <figcaption class="hint">
        {Math.round(low)} to {Math.round(high)} in the last {points.length} rated matches
      </figcaption>
    </figure>
  );
}
