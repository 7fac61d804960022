//! The plots beside docs/performance.md, drawn from its tables: bars, and lines over a doubling size. Simple enough to
//! be written by hand. `BLESS=1 cargo test --test plots` draws them anew without measuring.

use std::ops::RangeInclusive;

const WIDTH: f64 = 860.0;
const OURS: &str = "#0072b2";
const OTHERS: &str = "#7a7a7a";
/// The colours of Okabe and Ito, which colour-blind readers tell apart too. Their yellow is too pale for a thin line.
const COLOURS: [&str; 7] = ["#000000", "#e69f00", "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9"];
/// The next dashes follow when the colours are used up, so that no two lines look the same.
const DASHES: [&str; 3] = ["none", "7 3", "2 3"];
/// The shapes of points: five, so that the next line with the same colour has another.
const MARKS: [&str; 5] = ["M-4-4h8v8h-8z", "M0-5l5 9h-10z", "M0-6l5 6l-5 6l-5-6z", "M0 5l5-9h-10z", "M-5-2h10v4h-10z"];
/// Every fourth point of a line is marked. The next line is marked at other points, so that both are seen where they coincide.
const APART: usize = 4;
/// The height of a label.
const LABEL: f64 = 16.0;

/// File names and contents.
pub fn all(page: &str) -> Vec<(&'static str, String)> {
    let by_size = table(page, "scaling", "ns per byte");
    let slope = by_size.len() - 1;
    vec![
        ("handshake.svg", bars("A close over loopback", "µs", &table(page, "handshake", ""), "time, µs")),
        ("others.svg", bars("A close of a session with Prosody", "µs", &table(page, "others", ""), "time, µs")),
        ("framing.svg", bars("Framing in 4 KiB pieces", "MB/s", &table(page, "framing", "MB/s"), "4 KiB pieces")),
        (
            "framing-bytes.svg",
            bars("Framing in 1-byte pieces", "MB/s", &table(page, "framing", "MB/s"), "1-byte pieces"),
        ),
        ("scaling.svg", lines("Time per byte, by size", "ns", &transposed(&by_size[..slope]))),
        ("worst.svg", lines("Time per byte of the worst shape, by size", "ns", &table(page, "worst", "ns per byte"))),
    ]
}

type Cells = Vec<Vec<String>>;

/// The table of a section whose first column is called `corner`: its head, and its rows.
fn table(page: &str, section: &str, corner: &str) -> Cells {
    let section = page.split(&format!("<!-- {section} -->")).nth(1).unwrap_or_else(|| panic!("no section {section}"));
    let cells = |line: &str| line.split('|').skip(1).map(|cell| cell.trim().to_owned()).collect::<Vec<_>>();
    let lines = section.lines().skip_while(|line| !line.starts_with('|') || cells(line)[0] != corner);
    let mut rows: Cells = lines.take_while(|line| line.starts_with('|')).map(cells).collect();
    rows.remove(1); // the rule below the head
    rows.iter_mut().for_each(|row| drop(row.pop()));
    rows
}

fn transposed(rows: &[Vec<String>]) -> Cells {
    (0..rows[0].len()).map(|column| rows.iter().map(|row| row[column].clone()).collect()).collect()
}

/// The figure that a cell begins with, such as `76.6 ± 5 %`.
fn figure(cell: &str) -> f64 {
    let figure = cell.split(' ').next().unwrap_or_default();
    figure.parse().unwrap_or_else(|_| panic!("{cell:?} is no figure"))
}

/// `1 KiB`, `64 MiB`.
fn size(cell: &str) -> f64 {
    figure(cell) * if cell.ends_with("MiB") { 1048576.0 } else { 1024.0 }
}

/// One bar for each row, on a logarithmic scale when they are far apart.
fn bars(title: &str, unit: &str, rows: &Cells, column: &str) -> String {
    let column = rows[0].iter().position(|head| head == column).expect("that column");
    let values: Vec<_> = rows[1..].iter().map(|row| (&row[0], figure(&row[column]))).collect();
    let (row, left) = (26.0, 190.0);
    let (least, most) = range(values.iter().map(|value| value.1));
    let log = most / least > 50.0;
    let length = |value: f64| {
        let part = if log { (value / least * 2.0).ln() / (most / least * 2.0).ln() } else { value / most };
        part * (WIDTH - left - 130.0)
    };
    let mut body = heading(&if log { format!("{title} (logarithmic)") } else { title.to_owned() });
    for (number, (name, value)) in values.iter().enumerate() {
        let y = 36.0 + row * number as f64;
        let colour = if name.contains("close") { OURS } else { OTHERS };
        let length = length(*value);
        body += &text(left - 8.0, y + 14.0, "end", name);
        body += &format!("<rect x='{left}' y='{y}' width='{length:.1}' height='18' fill='{colour}'/>\n");
        body += &text(left + length + 6.0, y + 14.0, "start", &format!("{value} {unit}"));
    }
    svg(44.0 + row * values.len() as f64, &body)
}

/// A line for each row through its figures, and its name where the line ends; both axes are logarithmic.
fn lines(title: &str, unit: &str, rows: &Cells) -> String {
    let (top, left, end, bottom, height) = (40.0, 70.0, WIDTH - 252.0, 440.0, 470.0);
    let sizes: Vec<_> = rows[0][1..].iter().map(|head| size(head)).collect();
    let series: Vec<_> =
        rows[1..].iter().map(|row| row[1..].iter().map(|cell| figure(cell)).collect::<Vec<_>>()).collect();
    let (x0, x1) = range(sizes.iter().copied());
    let ticks = ticks(range(series.iter().flatten().copied()));
    let (y0, y1) = (ticks[0].0, ticks[ticks.len() - 1].0);
    let x = |value: f64| left + (value / x0).ln() / (x1 / x0).ln() * (end - left);
    let y = |value: f64| bottom - (value / y0).ln() / (y1 / y0).ln() * (bottom - top);
    let mut body = heading(title);
    for (value, name) in &ticks {
        let at = y(*value);
        body += &format!("<path d='M{left} {at:.1}H{end}' stroke='#ddd'/>\n");
        body += &text(left - 6.0, at + 4.0, "end", &format!("{name} {unit}"));
    }
    for (name, size) in rows[0][1..].iter().zip(&sizes).step_by(APART) {
        body += &text(x(*size), bottom + 18.0, "middle", name);
    }
    let ends: Vec<_> = series.iter().map(|figures| y(figures[figures.len() - 1])).collect();
    let labels = spread(&ends, top..=bottom);
    for (number, figures) in series.iter().enumerate() {
        let points: Vec<_> = sizes.iter().zip(figures).map(|(size, figure)| (x(*size), y(*figure))).collect();
        let (from, to) = (ends[number], labels[number]);
        let sample = end + 64.0;
        body += &format!("<path d='M{end} {from:.1}L{:.1} {to:.1}' stroke='#999' stroke-width='0.7'/>\n", end + 22.0);
        let marked = points.iter().skip(number % APART).step_by(APART);
        body += &line(number, &points, &marked.copied().collect::<Vec<_>>());
        body += &line(number, &[(end + 24.0, to), (sample, to)], &[(end + 44.0, to)]);
        body += &text(sample + 6.0, to + 4.0, "start", &rows[number + 1][0]);
    }
    svg(height, &body)
}

fn line(number: usize, points: &[(f64, f64)], marked: &[(f64, f64)]) -> String {
    let (colour, dashes) = (COLOURS[number % COLOURS.len()], DASHES[number / COLOURS.len() % DASHES.len()]);
    let mark = MARKS[number % MARKS.len()];
    let path: Vec<_> = points.iter().map(|point| format!("{:.1},{:.1}", point.0, point.1)).collect();
    let path = path.join(" ");
    let mut out = format!(
        "<polyline points='{path}' fill='none' stroke='{colour}' stroke-width='2' stroke-dasharray='{dashes}'/>\n"
    );
    for (x, y) in marked {
        out += &format!(
            "<path transform='translate({x:.1} {y:.1})' d='{mark}' fill='{colour}' stroke='white' stroke-width='0.7'/>\n"
        );
    }
    out
}

/// Where labels go whose lines end at `ends`: as near as they can without touching each other.
fn spread(ends: &[f64], within: RangeInclusive<f64>) -> Vec<f64> {
    let mut order: Vec<_> = (0..ends.len()).collect();
    order.sort_by(|a, b| ends[*a].total_cmp(&ends[*b]));
    // Groups of labels that touch: the sum of their ends, each less the height of those above it in the group, and how
    // many.
    let mut groups: Vec<(f64, usize)> = Vec::new();
    let place = |(sum, count): (f64, usize)| {
        let room = LABEL * (count - 1) as f64;
        (sum / count as f64).min(within.end() - room).max(*within.start())
    };
    for label in &order {
        let mut group = (ends[*label], 1);
        while let Some(&above) = groups.last().filter(|above| place(**above) + LABEL * above.1 as f64 > place(group)) {
            groups.pop();
            group = (above.0 + group.0 - LABEL * (above.1 * group.1) as f64, above.1 + group.1);
        }
        groups.push(group);
    }
    let mut places = vec![0.0; ends.len()];
    let spots = groups.into_iter().flat_map(|group| (0..group.1).map(move |n| place(group) + LABEL * n as f64));
    order.into_iter().zip(spots).for_each(|(label, spot)| places[label] = spot);
    places
}

/// 1, 2 and 5 of each power of ten around these figures, with their names; over many of them the powers only, and both
/// ends.
fn ticks((least, most): (f64, f64)) -> Vec<(f64, String)> {
    let powers = least.log10().floor() as i32..=most.log10().floor() as i32 + 1;
    let all = powers.flat_map(|power| [1.0, 2.0, 5.0].map(|digit| (digit, power)));
    let all: Vec<_> = all.map(|(digit, power)| (digit, power, digit * 10_f64.powi(power))).collect();
    let first = all.iter().rposition(|tick| tick.2 <= least).expect("a power of ten below");
    let last = all.iter().position(|tick| tick.2 >= most).expect("a power of ten above");
    let few = last - first < 8;
    let shown = all[first..=last].iter().enumerate();
    let shown = shown.filter(|(n, (digit, ..))| few || *digit == 1.0 || *n == 0 || *n == last - first);
    shown.map(|(_, (_, power, value))| (*value, format!("{value:.*}", usize::try_from(-power).unwrap_or(0)))).collect()
}

fn range(values: impl Iterator<Item = f64>) -> (f64, f64) {
    values.fold((f64::MAX, f64::MIN), |(least, most), value| (least.min(value), most.max(value)))
}

fn heading(title: &str) -> String {
    format!("<text x='{}' y='20' text-anchor='middle' font-weight='bold'>{title}</text>\n", WIDTH / 2.0)
}

fn text(x: f64, y: f64, anchor: &str, content: &str) -> String {
    format!("<text x='{x:.1}' y='{y:.1}' text-anchor='{anchor}'>{content}</text>\n")
}

fn svg(height: f64, body: &str) -> String {
    format!(
        "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {WIDTH} {height}' font-family='sans-serif' font-size='12'>\n\
         <rect width='{WIDTH}' height='{height}' fill='white'/>\n{body}</svg>\n"
    )
}
