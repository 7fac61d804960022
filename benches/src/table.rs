//! Tables in Markdown, and the bars that figures are held against.

use std::fmt::Display;

/// A table, row by row.
pub struct Table {
    text: String,
}

impl Table {
    pub fn new(columns: &[&str]) -> Self {
        let mut table = Self { text: String::new() };
        table.row(columns);
        table.text.push_str(&format!("|{}\n", "---|".repeat(columns.len())));
        table
    }

    pub fn row<T: Display>(&mut self, cells: &[T]) {
        let cells: Vec<_> = cells.iter().map(ToString::to_string).collect();
        self.text.push_str(&format!("| {} |\n", cells.join(" | ")));
    }

    pub fn finish(self) -> String {
        self.text + "\n"
    }
}

/// The bars of a part, with what was measured.
pub struct Bars(Table);

impl Bars {
    pub fn new() -> Self {
        Self(Table::new(&["bar", "measured", ""]))
    }

    pub fn at_least(&mut self, what: &str, bar: f64, figure: f64, unit: &str) {
        self.line(&format!("{what}: at least {}", number(bar, unit)), &number(figure, unit), figure >= bar);
    }

    pub fn at_most(&mut self, what: &str, bar: f64, figure: f64, unit: &str) {
        self.line(&format!("{what}: at most {}", number(bar, unit)), &number(figure, unit), figure <= bar);
    }

    fn line(&mut self, bar: &str, figure: &str, met: bool) {
        eprintln!("  {bar}: {figure}{}", if met { "" } else { " MISSED" });
        self.0.row(&[bar, figure, if met { "met" } else { "**missed**" }]);
    }

    pub fn finish(self) -> String {
        self.0.finish()
    }
}

/// Three digits that count, and the unit; `×` for ratios.
fn number(value: f64, unit: &str) -> String {
    let text = figure(value);
    if unit == "×" { format!("{text} ×") } else { format!("{text} {unit}").trim_end().to_owned() }
}

/// Three digits that count.
pub fn figure(value: f64) -> String {
    let whole = value == value.trunc() && value.abs() < 1e5;
    match value.abs() {
        _ if whole => format!("{value:.0}"),
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        size if size >= 1.0 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}
