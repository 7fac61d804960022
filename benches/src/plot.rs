//! Plots as SVG: bars, and lines over a doubling size. Simple enough to be written by hand.

const WIDTH: f64 = 720.0;
const COLOURS: [&str; 6] = ["#1b6ca8", "#d1495b", "#3c8d5a", "#8a5fbf", "#c77d0a", "#5b6770"];

/// One bar for each value, on a logarithmic scale when they are far apart.
pub fn bars(title: &str, unit: &str, values: &[(String, f64)]) -> String {
    let (row, left) = (26.0, 190.0);
    let height = 44.0 + row * values.len() as f64;
    let most = values.iter().map(|value| value.1).fold(0.0, f64::max);
    let least = values.iter().map(|value| value.1).fold(f64::MAX, f64::min);
    let log = most / least > 50.0;
    let length = |value: f64| {
        let part = if log { (value / least * 2.0).ln() / (most / least * 2.0).ln() } else { value / most };
        part * (WIDTH - left - 130.0)
    };
    let mut body = heading(&if log { format!("{title} (logarithmic)") } else { title.to_owned() });
    for (number, (name, value)) in values.iter().enumerate() {
        let y = 36.0 + row * number as f64;
        let colour = if number == 0 { COLOURS[0] } else { COLOURS[5] };
        let end = left + length(*value);
        body += &text(left - 8.0, y + 14.0, "end", name);
        body += &format!("<rect x='{left}' y='{y}' width='{:.1}' height='18' fill='{colour}'/>\n", end - left);
        body += &text(end + 6.0, y + 14.0, "start", &format!("{} {unit}", crate::table::figure(*value)));
    }
    svg(height, &body)
}

/// A line for each name through its points; both axes are logarithmic.
pub fn lines(
    title: &str,
    x_axis: impl Fn(f64) -> String,
    y_unit: &str,
    series: &[(String, Vec<(f64, f64)>)],
) -> String {
    let (top, left, right, height) = (36.0, 70.0, 20.0, 420.0);
    let bottom = height - 44.0 - 18.0 * series.len().div_ceil(3) as f64;
    let points = || series.iter().flat_map(|line| line.1.iter().copied());
    let range = |of: fn((f64, f64)) -> f64| {
        (points().map(of).fold(f64::MAX, f64::min), points().map(of).fold(f64::MIN, f64::max))
    };
    let ((x0, x1), (y0, y1)) = (range(|point| point.0), range(|point| point.1));
    let (y0, y1) = (10_f64.powf(y0.log10().floor()), 10_f64.powf(y1.log10().ceil()));
    let x = |value: f64| left + (value / x0).ln() / (x1 / x0).ln() * (WIDTH - left - right);
    let y = |value: f64| bottom - (value / y0).ln() / (y1 / y0).ln() * (bottom - top);
    let mut body = heading(title);
    let mut mark = y0;
    while mark <= y1 * 1.001 {
        let at = y(mark);
        body += &format!("<line x1='{left}' y1='{at:.1}' x2='{}' y2='{at:.1}' stroke='#ddd'/>\n", WIDTH - right);
        body += &text(left - 6.0, at + 4.0, "end", &format!("{} {y_unit}", crate::table::figure(mark)));
        mark *= 10.0;
    }
    let mut mark = x0;
    while mark <= x1 * 1.001 {
        body += &text(x(mark), bottom + 18.0, "middle", &x_axis(mark));
        mark *= 16.0;
    }
    for (number, (name, points)) in series.iter().enumerate() {
        let colour = COLOURS[number % COLOURS.len()];
        let path: Vec<_> = points.iter().map(|point| format!("{:.1},{:.1}", x(point.0), y(point.1))).collect();
        body += &format!("<polyline points='{}' fill='none' stroke='{colour}' stroke-width='2'/>\n", path.join(" "));
        let (column, line) = ((number % 3) as f64, (number / 3) as f64);
        let (at, level) = (left + column * 210.0, bottom + 40.0 + 18.0 * line);
        body += &format!("<rect x='{at}' y='{}' width='14' height='4' fill='{colour}'/>\n", level - 6.0);
        body += &text(at + 20.0, level, "start", name);
    }
    svg(height, &body)
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
