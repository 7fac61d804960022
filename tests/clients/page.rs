//! The figures of the client libraries as a table for docs/interop.md.

use std::{
    fmt::Write,
    fs,
    sync::{Mutex, PoisonError},
};

use crate::{COUNT, Ending, LINKS, Link, Situation, driver::Library};

const BEGIN: &str = "<!-- clients: written by tests/clients.rs -->";
const END: &str = "<!-- clients: end -->";
/// The cells of four libraries in three situations.
const CELLS: usize = 4 * 3 * LINKS.len();

/// A row of the table, after what it is sorted by.
type Row = ((Library, Link, Situation), String);

pub fn row(library: Library, link: Link, situation: Situation, ending: &Ending) -> String {
    let link = match link {
        Link::Plain => "plain",
        Link::StartTls => "STARTTLS",
    };
    let situation = match situation {
        Situation::WeClose => "we close, it is idle",
        Situation::TheyClose => "it closes, having read all",
        Situation::TheyCloseUnread => "it closes, all unread",
    };
    let Ending { outcome, begun_by, late, passed_on, got, told, .. } = ending;
    let ms = ending.report.rsplit("; ").next().unwrap_or_default().trim_end_matches(" ms");
    format!(
        "| {} | {link} | {situation} | {outcome} | {begun_by} | {late} | {} | {} | {told} | {ms} |",
        library.name(),
        COUNT - passed_on,
        COUNT - got
    )
}

/// When all cells are there, writes them into the file that INTEROP_REPORT names, between the two marks.
pub fn add(library: Library, link: Link, situation: Situation, ending: &Ending) {
    static DONE: Mutex<Vec<Row>> = Mutex::new(Vec::new());
    let mut done = DONE.lock().unwrap_or_else(PoisonError::into_inner);
    done.push(((library, link, situation), row(library, link, situation, ending)));
    let Some(file) = std::env::var_os("INTEROP_REPORT").filter(|_| done.len() == CELLS) else { return };
    done.sort();
    let page = fs::read_to_string(&file).unwrap_or_default();
    let page = if page.contains(BEGIN) { page } else { format!("{page}\n{BEGIN}\n{END}\n") };
    let (head, rest) = page.split_once(BEGIN).expect("the mark where the table begins");
    let tail = rest.split_once(END).expect("the mark where the table ends").1;
    fs::write(&file, format!("{head}{BEGIN}\n{}{END}{tail}", table(&done))).expect("the report can be written");
}

fn table(done: &[Row]) -> String {
    let libraries = [Library::Libstrophe, Library::Gloox, Library::Loudmouth, Library::Slixmpp];
    let versions: Vec<_> =
        libraries.iter().map(|library| format!("{} {}", library.name(), library.version())).collect();
    let mut text = format!(
        "\n{}. {COUNT} messages in each direction. A message is *lost* when it reached no application.\n\n\
         | client | over | situation | outcome | begun by | late | **client's messages lost** \
         | **server's messages lost** | what the client's application is told | ms |\n|---|---|---|---|---|---|---|---|---|---|\n",
        versions.join(", ")
    );
    for (_, row) in done {
        writeln!(text, "{row}").expect("a string takes everything");
    }
    text + "\n"
}
