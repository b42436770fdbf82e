//! The simulated days as a picture: of each role players, pods and lateness, over the hours.

use std::fmt::Write as _;

use super::{
    RoleReport,
    simulation::{ROW_EVERY_S, Row},
};

const WIDTH: f64 = 860.0;
const LEFT: f64 = 60.0;
const RIGHT: f64 = 20.0;
const PANEL: f64 = 110.0;
const BETWEEN: f64 = 34.0;
const TITLE: f64 = 46.0;
/// Points of a line at most: more would not be seen.
const POINTS_MAX: usize = 1_440;

/// A curve of one colour.
struct Curve<'a> {
    name: &'a str,
    colour: &'a str,
    of: fn(&Row) -> f64,
    /// Whether it jumps, as numbers of pods do.
    steps: bool,
}

/// All roles below each other. It carries its own background: it is looked at on light and dark pages.
pub(super) fn svg(roles: &[RoleReport]) -> String {
    let role_height = TITLE + 3.0 * (PANEL + BETWEEN);
    let height = role_height * roles.len() as f64 + 10.0;
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" font-family=\"sans-serif\" \
         font-size=\"11\">\n<rect width=\"{WIDTH}\" height=\"{height}\" fill=\"#fff\"/>\n"
    );
    for (n, report) in roles.iter().enumerate() {
        // Writing to a String cannot fail.
        let _ = draw(&mut out, report, role_height * n as f64);
    }
    out.push_str("</svg>\n");
    out
}

fn draw(out: &mut String, report: &RoleReport, top: f64) -> std::fmt::Result {
    writeln!(
        out,
        "<text x=\"{LEFT}\" y=\"{}\" font-size=\"15\" font-weight=\"600\">Autoscaling of {}s</text>",
        top + 22.0,
        report.role
    )?;
    let panels: [&[Curve<'_>]; 3] = [
        &[Curve { name: "players", colour: "#2563a8", of: |row| row.players, steps: false }],
        &[
            Curve { name: "pods wanted", colour: "#d97706", of: |row| f64::from(row.replicas), steps: true },
            Curve { name: "ready", colour: "#15803d", of: |row| f64::from(row.ready), steps: true },
        ],
        &[Curve { name: "lateness, ms", colour: "#b91c1c", of: |row| row.late_ms, steps: false }],
    ];
    for (n, curves) in panels.iter().enumerate() {
        panel(out, &report.rows, curves, top + TITLE + (PANEL + BETWEEN) * n as f64)?;
    }
    Ok(())
}

fn panel(out: &mut String, rows: &[Row], curves: &[Curve<'_>], top: f64) -> std::fmt::Result {
    let highest = curves.iter().flat_map(|curve| rows.iter().map(curve.of)).fold(0.0, f64::max);
    let scale = round_up(highest);
    let last = rows.last().map_or(1.0, |row| f64::from(row.second)) + f64::from(ROW_EVERY_S);
    let x = |second: f64| LEFT + second / last * (WIDTH - LEFT - RIGHT);
    let y = |value: f64| top + PANEL - value / scale * PANEL;
    for part in [0.0, 0.5, 1.0] {
        let at = y(part * scale);
        writeln!(out, "<path d=\"M{LEFT} {at:.1}H{}\" stroke=\"#ddd\"/>", WIDTH - RIGHT)?;
        let label = part * scale;
        writeln!(out, "<text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{label}</text>", LEFT - 6.0, at + 4.0)?;
    }
    for hour in (0..=24).step_by(3) {
        let at = x(f64::from(hour) * 3_600.0);
        writeln!(out, "<text x=\"{at:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{hour}:00</text>", top + PANEL + 15.0)?;
    }
    for (n, Curve { name, colour, of, steps }) in curves.iter().enumerate() {
        let at = LEFT + 8.0 + 90.0 * n as f64;
        writeln!(out, "<text x=\"{at}\" y=\"{:.1}\" fill=\"{colour}\" font-weight=\"600\">{name}</text>", top - 4.0)?;
        let mut path = String::new();
        // Of rows that share a point the highest is seen: a moment's lateness must not vanish.
        for (n, some) in rows.chunks(rows.len().div_ceil(POINTS_MAX).max(1)).enumerate() {
            let value = some.iter().map(of).fold(0.0, f64::max);
            let (at, value) = (x(some.first().map_or(0.0, |row| f64::from(row.second))), y(value));
            match (n, steps) {
                (0, _) => write!(path, "M{at:.1} {value:.1}")?,
                (_, true) => write!(path, "H{at:.1}V{value:.1}")?,
                (_, false) => write!(path, "L{at:.1} {value:.1}")?,
            }
        }
        writeln!(out, "<path d=\"{path}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.4\"/>")?;
    }
    Ok(())
}

/// The next of 1, 2, 4, 5, 10, 20 and so on.
fn round_up(value: f64) -> f64 {
    let mut power = 1.0;
    while power * 10.0 < value {
        power *= 10.0;
    }
    [1.0, 2.0, 4.0, 5.0, 10.0].map(|times| times * power).into_iter().find(|round| *round >= value).unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hpa::{curve::Line, simulation::Outcome};

    #[test]
    fn a_moments_lateness_is_seen() {
        let row = |second, late_ms| Row { second, players: 900.0, replicas: 3, ready: 3, usage: 0.5, late_ms };
        let rows = (0..5_760).map(|n| row(n * 15, if n == 3_001 { 400.0 } else { 0.0 })).collect();
        let outcome = Outcome {
            added: 0,
            removed: 0,
            reversals: 0,
            replicas_max: 3,
            replicas_mean: 3.0,
            late_s: 1,
            late_ms_max: 400.0,
        };
        let report = RoleReport {
            role: "edge",
            cost: Line { at_none: 0.0, each: 0.001 },
            peak_players: 900.0,
            spike_players: 900.0,
            spike_met_after_s: None,
            outcome,
            rows,
        };
        let drawn = svg(&[report]);
        assert!(drawn.starts_with("<svg ") && drawn.ends_with("</svg>\n"));
        assert_eq!(drawn.matches("stroke-width").count(), 4, "players, wanted, ready, lateness");
        let lateness = drawn.lines().find(|line| line.contains("#b91c1c") && line.contains("<path")).expect("a curve");
        let top = TITLE + 2.0 * (PANEL + BETWEEN);
        assert!(lateness.contains(&format!(" {top:.1}")), "it reaches the top of its panel: 400 of 400");
        assert!(drawn.len() < 100_000, "{} bytes", drawn.len());
    }

    #[test]
    fn scales_are_round() {
        for (value, round) in
            [(0.0, 1.0), (1.0, 1.0), (3.0, 4.0), (4.2, 5.0), (7.0, 10.0), (11.0, 20.0), (3_400.0, 4_000.0)]
        {
            assert_eq!(round_up(value), round, "{value}");
        }
    }
}
