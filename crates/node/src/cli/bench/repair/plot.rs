//! The chart: bytes on the wire against divergence, both axes logarithmic.

use std::fmt::Write as _;

use super::ask::Plan;
use super::cost::fixed_segments;
use super::row::Row;

const WIDTH: f64 = 960.0;
const HEIGHT: f64 = 600.0;
const LEFT: f64 = 92.0;
const RIGHT: f64 = 84.0;
const TOP: f64 = 96.0;
const BOTTOM: f64 = 100.0;

/// Colours for light and for dark surroundings; a program that does not know of the two shows the light ones.
const STYLE: &str = "
  .paper { fill: #ffffff } .ink { fill: #1b1f24 } .soft { fill: #5c6570 } .grid { stroke: #e4e7eb }
  .ours { stroke: #0a7d4f } .ours-ink { fill: #0a7d4f } .full { stroke: #8a919a } .full-ink { fill: #6b737d }
  .fixed { stroke: #b4531d } .fixed-ink { fill: #b4531d } .ideal { stroke: #4d61d1 } .ideal-ink { fill: #4d61d1 }
  .line { fill: none; stroke-width: 2.5; stroke-linejoin: round; stroke-linecap: round }
  .thick { stroke-width: 4 } .dashed { stroke-dasharray: 3 7 } .grid { stroke-width: 1 }
  text { font: 15px system-ui, 'Segoe UI', Helvetica, Arial, sans-serif }
  .title { font-size: 23px; font-weight: 600 } .small { font-size: 13px } .bold { font-weight: 600 }
  @media (prefers-color-scheme: dark) {
    .paper { fill: #12161b } .ink { fill: #e8ebef } .soft { fill: #9aa4b0 } .grid { stroke: #2a313a }
    .ours { stroke: #41dd9b } .ours-ink { fill: #41dd9b } .full { stroke: #7f8893 } .full-ink { fill: #9aa4b0 }
    .fixed { stroke: #f0945b } .fixed-ink { fill: #f0945b } .ideal { stroke: #93a2ff } .ideal-ink { fill: #93a2ff }
  }
";

/// How many points of a computed line lie between two powers of ten.
const POINTS_PER_DECADE: i32 = 10;

/// About how wide the name of the fixed segments is on the paper.
const NAME_WIDTH: f64 = 420.0;

/// One way to repair: bytes at each divergence.
struct Line {
    class: &'static str,
    style: &'static str,
    name: &'static str,
    points: Vec<(f64, f64)>,
}

/// From numbers to places on the paper.
struct Scale {
    from: (f64, f64),
    to: (f64, f64),
}

impl Scale {
    /// Whole powers of ten around all points.
    fn around(lines: &[Line]) -> Self {
        let all = || lines.iter().flat_map(|line| line.points.iter().copied());
        let (mut from, mut to) = ((0.0_f64, 9.0_f64), (1.0_f64, 1.0_f64));
        for (differ, bytes) in all() {
            to.0 = to.0.max(differ.log10().ceil());
            from.1 = from.1.min(bytes.log10().floor());
            to.1 = to.1.max(bytes.log10().ceil());
        }
        from.1 = from.1.min(to.1 - 1.0).max(0.0);
        from.0 = from.0.min(to.0 - 1.0);
        Self { from, to }
    }

    fn x(&self, differ: f64) -> f64 {
        let part = (differ.max(1.0).log10() - self.from.0) / (self.to.0 - self.from.0);
        LEFT + part * (WIDTH - LEFT - RIGHT)
    }

    fn y(&self, bytes: f64) -> f64 {
        let part = (bytes.max(1.0).log10() - self.from.1) / (self.to.1 - self.from.1);
        HEIGHT - BOTTOM - part * (HEIGHT - TOP - BOTTOM)
    }
}

/// Draws the rows of the first method, round-trip time and shape among them.
pub(crate) fn svg(rows: &[Row], plan: &Plan) -> String {
    let shown = shown(rows);
    let lines = lines(&shown, plan);
    let scale = Scale::around(&lines);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" width=\"{WIDTH}\" \
         height=\"{HEIGHT}\" role=\"img\" aria-label=\"Bytes on the wire to make replicas identical again, against \
         how many keys differ\">\n<style>{STYLE}</style>\n<rect class=\"paper\" width=\"{WIDTH}\" \
         height=\"{HEIGHT}\" rx=\"10\"/>\n"
    );
    head(&mut svg, &shown, plan);
    axes(&mut svg, &scale);
    for line in &lines {
        draw(&mut svg, &scale, line);
    }
    svg.push_str("</svg>\n");
    svg
}

fn shown(rows: &[Row]) -> Vec<&Row> {
    let mut rows = rows.iter().filter(|row| row.cell.shape != "empty" && row.cell.differ > 0);
    let Some(first) = rows.next() else { return Vec::new() };
    let same = |row: &&Row| {
        (row.cell.shape, row.cell.method, row.cell.rtt)
            == (first.cell.shape, first.cell.method, first.cell.rtt)
    };
    let mut shown: Vec<&Row> = std::iter::once(first).chain(rows.filter(same)).collect();
    shown.sort_by_key(|row| row.cell.differ);
    shown
}

fn lines(rows: &[&Row], plan: &Plan) -> Vec<Line> {
    let points = |measure: &str| {
        rows.iter().map(|row| (row.cell.differ as f64, row.median(measure).max(1.0))).collect::<Vec<_>>()
    };
    // What an entry takes on the wire, from the largest divergence measured.
    let entry = rows.last().map_or(0.0, |row| row.median("bytes_ideal") / row.cell.differ.max(1) as f64);
    let computed = |bytes: &dyn Fn(f64) -> f64| -> Vec<(f64, f64)> {
        let (Some(first), Some(last)) = (rows.first(), rows.last()) else { return Vec::new() };
        let at = |step: i32| 10f64.powf(f64::from(step) / f64::from(POINTS_PER_DECADE));
        let (from, to) = (first.cell.differ as f64, last.cell.differ as f64);
        let inner = (0..POINTS_PER_DECADE * 12).map(at).filter(|differ| *differ > from && *differ < to);
        let all = std::iter::once(from).chain(inner).chain((to > from).then_some(to));
        all.map(|differ| (differ, bytes(differ).max(1.0))).collect()
    };
    let full = entry * plan.keys as f64;
    let fixed = |differ: f64| fixed_segments(plan.keys, plan.data.key_bytes, differ) + entry * differ;
    vec![
        Line {
            class: "full",
            style: "",
            name: "naive: copy everything (computed)",
            points: computed(&|_| full),
        },
        Line {
            class: "fixed",
            style: "",
            name: "Merkle tree of 1024 x 1024 fixed segments (computed)",
            points: computed(&fixed),
        },
        Line {
            class: "ideal",
            style: "dashed",
            name: "ideal: only what the other side lacks",
            points: points("bytes_ideal"),
        },
        Line { class: "ours", style: "thick", name: "Mangrove (measured)", points: points("bytes_total") },
    ]
}

fn head(svg: &mut String, rows: &[&Row], plan: &Plan) {
    let shape = match rows.first().map(|row| row.cell.shape) {
        Some("random") => "half updated, a quarter missing on each side",
        Some("cluster") => "neighbours in the tree",
        Some("missing") => "missing on one side",
        Some("updated") => "updated",
        _ => "nothing measured",
    };
    let under = format!(
        "{} nodes, {} keys of {} bytes, values of {} bytes; what differs: {shape}",
        rows.first().map_or(plan.nodes, |row| row.cell.nodes),
        grouped(plan.keys),
        plan.data.key_bytes,
        plan.data.value_bytes
    );
    let mut text = |x: f64, y: f64, class: &str, words: &str| {
        let _ = writeln!(svg, "<text x=\"{x}\" y=\"{y}\" class=\"{class}\">{words}</text>");
    };
    text(28.0, 42.0, "ink title", "What it costs to make replicas identical again");
    text(28.0, 68.0, "soft", &under);
    let note = "Whole frames of both directions, finding and moving what differs, by mangrove bench repair. Computed: \
                the keys' encoded entries";
    text(28.0, HEIGHT - 30.0, "soft small", note);
    let note = "once (naive); a hash of 20 bytes for each bucket, segment and key compared, then what is missing (fixed \
                segments).";
    text(28.0, HEIGHT - 12.0, "soft small", note);
}

fn axes(svg: &mut String, scale: &Scale) {
    let (left, right, bottom) = (LEFT, WIDTH - RIGHT, HEIGHT - BOTTOM);
    for power in (scale.from.1 as i32)..=(scale.to.1 as i32) {
        let y = scale.y(10f64.powi(power));
        let _ = writeln!(
            svg,
            "<line class=\"grid\" x1=\"{left}\" y1=\"{y:.1}\" x2=\"{right}\" y2=\"{y:.1}\"/>\
             <text x=\"{:.1}\" y=\"{:.1}\" class=\"soft\" text-anchor=\"end\">{}</text>",
            left - 12.0,
            y + 5.0,
            size(10f64.powi(power))
        );
    }
    for power in (scale.from.0 as i32)..=(scale.to.0 as i32) {
        let x = scale.x(10f64.powi(power));
        let _ = writeln!(
            svg,
            "<text x=\"{x:.1}\" y=\"{:.1}\" class=\"soft\" text-anchor=\"middle\">{}</text>",
            bottom + 22.0,
            grouped(10u64.pow(power.unsigned_abs()))
        );
    }
    let _ = writeln!(
        svg,
        "<text x=\"{:.1}\" y=\"{:.1}\" class=\"ink\" text-anchor=\"middle\">keys that differ</text>",
        (left + right) / 2.0,
        bottom + 44.0
    );
}

fn draw(svg: &mut String, scale: &Scale, line: &Line) {
    let Some(first) = line.points.first() else { return };
    let place = |(differ, bytes): &(f64, f64)| (scale.x(*differ), scale.y(*bytes));
    let at: Vec<String> = line.points.iter().map(place).map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
    let (class, style) = (line.class, line.style);
    let _ = writeln!(svg, "<polyline class=\"line {class} {style}\" points=\"{}\"/>", at.join(" "));
    let (right, bottom) = (WIDTH - RIGHT, HEIGHT - BOTTOM);
    // The two lines that nearly meet are named where nothing is drawn; the others above themselves.
    let (x, y) = match class {
        "ours" => (right - 250.0, bottom - 62.0),
        "ideal" => (right - 250.0, bottom - 34.0),
        "fixed" => {
            let under_name = line.points.iter().map(place).filter(|(x, _)| *x <= LEFT + NAME_WIDTH);
            (LEFT + 14.0, under_name.map(|(_, y)| y).fold(f64::MAX, f64::min) - 14.0)
        }
        _ => (LEFT + 14.0, scale.y(first.1) - 12.0),
    };
    if matches!(class, "ours" | "ideal") {
        let (from, to, y) = (x - 58.0, x - 14.0, y - 5.0);
        let _ = writeln!(
            svg,
            "<line class=\"line {class} {style}\" x1=\"{from:.1}\" y1=\"{y:.1}\" x2=\"{to:.1}\" y2=\"{y:.1}\"/>"
        );
    }
    let bold = if class == "ours" { " bold" } else { "" };
    let _ = writeln!(svg, "<text x=\"{x:.1}\" y=\"{y:.1}\" class=\"{class}-ink{bold}\">{}</text>", line.name);
    if class == "ours" {
        marks(svg, scale, line);
    }
}

/// A dot and its bytes at each point: below the line, beside the last one.
fn marks(svg: &mut String, scale: &Scale, line: &Line) {
    for (number, (differ, bytes)) in line.points.iter().enumerate() {
        let (x, y) = (scale.x(*differ), scale.y(*bytes));
        let (dx, dy) = if number + 1 == line.points.len() { (12.0, 5.0) } else { (12.0, 19.0) };
        let _ = writeln!(
            svg,
            "<circle class=\"ours-ink\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"5.5\"/>\
             <text x=\"{:.1}\" y=\"{:.1}\" class=\"ours-ink small bold\">{}</text>",
            x + dx,
            y + dy,
            size(*bytes)
        );
    }
}

/// Bytes in thousands, as on a network.
fn size(bytes: f64) -> String {
    let (amount, unit) = match bytes {
        bytes if bytes >= 1e9 => (bytes / 1e9, "GB"),
        bytes if bytes >= 1e6 => (bytes / 1e6, "MB"),
        bytes if bytes >= 1e3 => (bytes / 1e3, "kB"),
        bytes => (bytes, "B"),
    };
    if amount >= 10.0 || amount.fract() < 0.05 {
        format!("{amount:.0} {unit}")
    } else {
        format!("{amount:.1} {unit}")
    }
}

/// A number with its thousands apart.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
