//! The chart: three panels, each with its own logarithmic axes.

use std::fmt::Write;

use sim::crowd::demers::TABLE_1987;

use super::{Found, Size, shown};

const WIDTH: f64 = 1_380.0;
const HEIGHT: f64 = 460.0;
const PANEL: f64 = 450.0;
const LEFT: f64 = 76.0;
const RIGHT: f64 = 16.0;
const TOP: f64 = 96.0;
const BOTTOM: f64 = 62.0;

/// Colours for light and for dark surroundings; a program that does not know of the two shows the light ones.
const STYLE: &str = "
  .paper { fill: #ffffff } .ink { fill: #1b1f24 } .soft { fill: #5c6570 } .grid { stroke: #e4e7eb; stroke-width: 1 }
  .ours { stroke: #0a7d4f } .ours-ink { fill: #0a7d4f } .rumor { stroke: #4d61d1 } .rumor-ink { fill: #4d61d1 }
  .other { stroke: #b4531d } .other-ink { fill: #b4531d }
  .line { fill: none; stroke-width: 2.5; stroke-linejoin: round; stroke-linecap: round }
  text { font: 14px system-ui, 'Segoe UI', Helvetica, Arial, sans-serif } .title { font-size: 18px; font-weight: 600 }
  @media (prefers-color-scheme: dark) {
    .paper { fill: #12161b } .ink { fill: #e8ebef } .soft { fill: #9aa4b0 } .grid { stroke: #2a313a }
    .ours { stroke: #41dd9b } .ours-ink { fill: #41dd9b } .rumor { stroke: #93a2ff } .rumor-ink { fill: #93a2ff }
    .other { stroke: #f0945b } .other-ink { fill: #f0945b }
  }
";

/// What one line shows, in which colour, at which points.
struct Line {
    class: &'static str,
    name: &'static str,
    points: Vec<(f64, f64)>,
}

struct Panel {
    title: &'static str,
    across: &'static str,
    /// Whether the x axis is logarithmic; whole numbers otherwise.
    log: bool,
    unit: &'static str,
    lines: Vec<Line>,
}

/// Draws everything that was measured.
pub(super) fn svg(found: &Found) -> String {
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" width=\"{WIDTH}\" \
         height=\"{HEIGHT}\" role=\"img\" aria-label=\"How a write spreads over many nodes\">\n<style>{STYLE}</style>\n\
         <rect class=\"paper\" width=\"{WIDTH}\" height=\"{HEIGHT}\" rx=\"10\"/>\n"
    );
    for (place, panel) in panels(found).iter().enumerate() {
        draw(&mut svg, panel, PANEL * place as f64 + 10.0);
    }
    svg.push_str("</svg>\n");
    svg
}

fn panels(found: &Found) -> [Panel; 3] {
    let of = |value: &dyn Fn(&Size) -> Option<f64>| -> Vec<(f64, f64)> {
        let point = |size: &Size| Some((size.nodes as f64, value(size)?)).filter(|(_, y)| *y > 0.0);
        found.sizes.iter().filter_map(point).collect()
    };
    let ms = |time: std::time::Duration| time.as_secs_f64() * 1_000.0;
    let residue = |rows: &[sim::crowd::demers::Row]| -> Vec<(f64, f64)> {
        rows.iter().filter(|row| row.residue > 0.0).map(|row| (f64::from(row.k), row.residue)).collect()
    };
    [
        Panel {
            title: "Until all have a write",
            across: "nodes",
            log: true,
            unit: " ms",
            lines: vec![
                Line {
                    class: "ours",
                    name: "whole nodes, slowest write",
                    points: of(&|size| size.whole.as_ref().map(|whole| ms(whole.last))),
                },
                Line {
                    class: "rumor",
                    name: "rumors alone, last one reached",
                    points: of(&|size| Some(ms(size.rumors.last))),
                },
                Line {
                    class: "other",
                    name: "rumors alone, on average",
                    points: of(&|size| Some(ms(size.rumors.mean))),
                },
            ],
        },
        Panel {
            title: "Messages of the busiest node",
            across: "nodes",
            log: true,
            unit: "",
            lines: vec![
                Line {
                    class: "other",
                    name: "a central broadcaster",
                    points: of(&|size| Some(shown::central(found, size.nodes) as f64)),
                },
                Line {
                    class: "rumor",
                    name: "rumors and answers",
                    points: of(&|size| Some(size.rumors.busiest as f64)),
                },
            ],
        },
        Panel {
            title: "Not reached by the rumor, 1,000 sites",
            across: "counter k",
            log: false,
            unit: "",
            lines: vec![
                Line { class: "other", name: "Demers et al., 1987, table 1", points: residue(&TABLE_1987) },
                Line {
                    class: "rumor",
                    name: "this rumor, which says who was told",
                    points: residue(&found.demers),
                },
            ],
        },
    ]
}

/// From numbers to places in a panel.
struct Scale {
    at: f64,
    log: bool,
    from: (f64, f64),
    to: (f64, f64),
}

impl Scale {
    fn around(panel: &Panel, at: f64) -> Self {
        let all = || panel.lines.iter().flat_map(|line| line.points.iter().copied());
        let across = |x: f64| if panel.log { x.log10() } else { x };
        let least = |values: &mut dyn Iterator<Item = f64>| values.fold(f64::INFINITY, f64::min);
        let most = |values: &mut dyn Iterator<Item = f64>| values.fold(f64::NEG_INFINITY, f64::max);
        let mut from =
            (least(&mut all().map(|p| across(p.0))).floor(), least(&mut all().map(|p| p.1.log10())).floor());
        let mut to =
            (most(&mut all().map(|p| across(p.0))).ceil(), most(&mut all().map(|p| p.1.log10())).ceil());
        if !from.0.is_finite() || !to.0.is_finite() {
            (from, to) = ((0.0, 0.0), (1.0, 1.0));
        }
        (to.0, to.1) = (to.0.max(from.0 + 1.0), to.1.max(from.1 + 1.0));
        Self { at, log: panel.log, from, to }
    }

    fn x(&self, x: f64) -> f64 {
        let x = if self.log { x.log10() } else { x };
        self.at + LEFT + (x - self.from.0) / (self.to.0 - self.from.0) * (PANEL - LEFT - RIGHT)
    }

    fn y(&self, y: f64) -> f64 {
        HEIGHT - BOTTOM - (y.log10() - self.from.1) / (self.to.1 - self.from.1) * (HEIGHT - TOP - BOTTOM)
    }
}

fn draw(svg: &mut String, panel: &Panel, at: f64) {
    let scale = Scale::around(panel, at);
    let (left, right, bottom) = (at + LEFT, at + PANEL - RIGHT, HEIGHT - BOTTOM);
    let _ = writeln!(svg, "<text x=\"{left}\" y=\"32\" class=\"ink title\">{}</text>", panel.title);
    for power in (scale.from.1 as i32)..=(scale.to.1 as i32) {
        let y = scale.y(10f64.powi(power));
        let _ = writeln!(
            svg,
            "<line class=\"grid\" x1=\"{left}\" y1=\"{y:.1}\" x2=\"{right}\" y2=\"{y:.1}\"/><text x=\"{:.1}\" \
             y=\"{:.1}\" class=\"soft\" text-anchor=\"end\">{}{}</text>",
            left - 8.0,
            y + 5.0,
            number(10f64.powi(power)),
            panel.unit
        );
    }
    for step in (scale.from.0 as i32)..=(scale.to.0 as i32) {
        let value = if panel.log { 10f64.powi(step) } else { f64::from(step) };
        let _ = writeln!(
            svg,
            "<text x=\"{:.1}\" y=\"{:.1}\" class=\"soft\" text-anchor=\"middle\">{}</text>",
            scale.x(value),
            bottom + 20.0,
            number(value)
        );
    }
    let _ = writeln!(
        svg,
        "<text x=\"{:.1}\" y=\"{:.1}\" class=\"ink\" text-anchor=\"middle\">{}</text>",
        (left + right) / 2.0,
        bottom + 42.0,
        panel.across
    );
    for (place, line) in panel.lines.iter().enumerate() {
        let (class, name) = (line.class, line.name);
        let y = 54.0 + place as f64 * 18.0;
        if line.points.is_empty() {
            continue;
        }
        let places: Vec<String> =
            line.points.iter().map(|(x, y)| format!("{:.1},{:.1}", scale.x(*x), scale.y(*y))).collect();
        let _ = writeln!(svg, "<polyline class=\"line {class}\" points=\"{}\"/>", places.join(" "));
        for (x, y) in &line.points {
            let (x, y) = (scale.x(*x), scale.y(*y));
            let _ = writeln!(svg, "<circle class=\"{class}-ink\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"4\"/>");
        }
        let _ = writeln!(svg, "<text x=\"{left}\" y=\"{y}\" class=\"{class}-ink\">{name}</text>");
    }
}

fn number(value: f64) -> String {
    match value {
        value if value >= 1e6 => format!("{}M", value / 1e6),
        value if value >= 1e3 => format!("{}k", value / 1e3),
        value => format!("{value}"),
    }
}
