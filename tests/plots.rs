//! The plots of docs/performance.md: what its tables say, drawn so that each line is known at sight.

#[path = "../benches/src/plot.rs"]
mod plot;

use std::{collections::BTreeSet, fs, path::Path};

use xmpp_close::xml::{EventReader, XmlEvent};

const PAGE: &str = include_str!("../docs/performance.md");

/// After a change of the page or of the drawing: `BLESS=1 cargo test --test plots`.
#[test]
fn the_plots_are_those_of_the_tables() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/performance");
    let plots = plot::all(PAGE);
    for (name, drawn) in &plots {
        assert!(PAGE.contains(&format!("](performance/{name})")), "{name} is shown nowhere");
        let file = folder.join(name);
        if std::env::var_os("BLESS").is_some() {
            fs::write(&file, drawn).unwrap();
        }
        let is_drawn = fs::read_to_string(&file).is_ok_and(|is| is == *drawn);
        assert!(is_drawn, "{name} is not what the tables say: BLESS=1 cargo test --test plots");
    }
    assert_eq!(fs::read_dir(folder).unwrap().count(), plots.len(), "and there are no others");
}

/// Each line is there, and again beside its label.
#[test]
fn no_two_lines_of_a_plot_look_the_same_and_no_two_labels_touch() {
    for (name, count) in [("scaling.svg", 10), ("worst.svg", 15)] {
        let (_, svg) = plot::all(PAGE).into_iter().find(|plot| plot.0 == name).unwrap();
        let (mut looks, mut labels, mut lines) = (BTreeSet::new(), Vec::new(), 0);
        for event in EventReader::from_str(&svg) {
            let Ok(XmlEvent::StartElement { name, attributes, .. }) = event.map_err(|error| panic!("{error}")) else {
                continue;
            };
            let attribute = |name: &str| attributes.iter().find(|found| found.name.local_name == name);
            let number = |name: &str| attribute(name).unwrap().value.parse::<f64>().unwrap();
            let value = |name: &str| attribute(name).map(|found| found.value.clone());
            match name.local_name.as_str() {
                "polyline" => {
                    looks.insert((value("stroke"), value("stroke-dasharray")));
                    lines += 1;
                }
                "text" if value("text-anchor").as_deref() == Some("start") => labels.push(number("y")),
                _ => {}
            }
        }
        assert_eq!((looks.len(), lines, labels.len()), (count, 2 * count, count), "{name}");
        labels.sort_by(f64::total_cmp);
        assert!(labels.windows(2).all(|pair| pair[1] - pair[0] > 12.0), "{name}: {labels:?}");
    }
}
