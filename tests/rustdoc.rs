//! The documentation as users read it: each type and function that the crate exports has an example, and no public page
//! names a requirement by its id.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use syn::{
    Attribute, Expr, Field, File, ImplItem, Item, ItemImpl, ItemMacro, ItemUse, Lit, Meta, TraitItem, UseTree, Variant,
    Visibility,
    visit::{self, Visit},
};

/// Exported, and understood without an example of their own: each with the type whose example shows it.
const PARTS: [(&str, &str); 3] = [("Invalid", "Error"), ("UnknownName", "Condition"), ("over", "OverTls")];

/// How many columns of an example a page shows that is 1280 pixels wide.
const PAGE: usize = 96;
/// How many columns of a diagram a page shows that is 400 pixels wide.
const PHONE: usize = 36;

/// The Rust files below a folder, without those of tests.
fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let paths = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let below = |path: PathBuf| if path.is_dir() { rust_files(&path) } else { vec![path] };
    let files = paths.filter(|path| path.file_stem().is_none_or(|name| name != "tests")).flat_map(below);
    files.filter(|file| file.extension().is_some_and(|extension| extension == "rs")).collect()
}

fn sources() -> Vec<(String, File)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let read = |file: PathBuf| {
        let name = file.strip_prefix(&folder).unwrap().display().to_string();
        let text = fs::read_to_string(&file).unwrap();
        let parsed = syn::parse_file(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
        (name, parsed)
    };
    rust_files(&folder).into_iter().map(read).collect()
}

/// The text of `///` and `//!`, line by line.
fn docs(attributes: &[Attribute]) -> Vec<String> {
    let text = |attribute: &Attribute| {
        let Meta::NameValue(pair) = &attribute.meta else { return None };
        let Expr::Lit(value) = &pair.value else { return None };
        let Lit::Str(value) = &value.lit else { return None };
        pair.path.is_ident("doc").then(|| value.value())
    };
    attributes.iter().filter_map(text).collect()
}

/// Whether there is Rust code among the lines, which `cargo test` compiles.
fn has_example(docs: &[String]) -> bool {
    let mut fences = docs.iter().map(|line| line.trim()).filter(|line| line.starts_with("```")).step_by(2);
    fences.any(|opening| matches!(opening, "```" | "```no_run" | "```rust" | "```should_panic"))
}

/// The lines of code blocks that a page shows and does not fit: of diagrams on a phone, of all else on a wide screen.
fn too_wide(docs: &[String]) -> Vec<&str> {
    let mut inside = false;
    let mut wide = Vec::new();
    for line in docs.iter().flat_map(|text| text.lines()) {
        let line = line.strip_prefix(' ').unwrap_or(line);
        if line.trim().starts_with("```") {
            inside = !inside;
        } else if inside && !line.trim_start().starts_with("# ") {
            let is_drawn = line.contains(['│', '─', '►']);
            let most = if is_drawn { PHONE } else { PAGE };
            wide.extend(Some(line).filter(|line| line.chars().count() > most));
        }
    }
    wide
}

/// Whether `line` names a requirement, as `TC-04` does.
fn names_requirement(line: &str) -> bool {
    let mut words = line.split(|c: char| !c.is_ascii_alphanumeric() && c != '-');
    words.any(|word| {
        word.split_once('-').is_some_and(|(letters, digits)| {
            matches!(letters.len(), 1 | 2)
                && letters.bytes().all(|byte| byte.is_ascii_uppercase())
                && digits.len() == 2
                && digits.bytes().all(|byte| byte.is_ascii_digit())
        })
    })
}

/// The names that a `use` brings in.
fn names(tree: &UseTree) -> Vec<String> {
    match tree {
        UseTree::Path(path) => names(&path.tree),
        UseTree::Name(name) => vec![name.ident.to_string()],
        UseTree::Rename(name) => vec![name.rename.to_string()],
        UseTree::Group(group) => group.items.iter().flat_map(names).collect(),
        UseTree::Glob(_) => panic!("a `*` hides what is exported"),
    }
}

/// What `lib.rs` exports.
fn exports(lib: &File) -> BTreeSet<String> {
    let uses = lib.items.iter().filter_map(|item| match item {
        Item::Use(ItemUse { vis: Visibility::Public(_), tree, .. }) => Some(names(tree)),
        _ => None,
    });
    uses.flatten().collect()
}

/// The docs of all that is public in a file, each with its name.
#[derive(Default)]
struct Public {
    found: Vec<(String, Vec<String>)>,
}

impl Public {
    fn take(&mut self, name: impl ToString, attributes: &[Attribute], vis: &Visibility) {
        if matches!(vis, Visibility::Public(_)) {
            self.found.push((name.to_string(), docs(attributes)));
        }
    }
}

impl<'ast> Visit<'ast> for Public {
    fn visit_item(&mut self, item: &'ast Item) {
        let vis = match item {
            Item::Struct(it) => Some((&it.ident, &it.attrs, &it.vis)),
            Item::Enum(it) => Some((&it.ident, &it.attrs, &it.vis)),
            Item::Trait(it) => Some((&it.ident, &it.attrs, &it.vis)),
            Item::Const(it) => Some((&it.ident, &it.attrs, &it.vis)),
            Item::Type(it) => Some((&it.ident, &it.attrs, &it.vis)),
            Item::Fn(it) => Some((&it.sig.ident, &it.attrs, &it.vis)),
            _ => None,
        };
        if let Some((name, attributes, vis)) = vis {
            self.take(name, attributes, vis);
            if matches!(vis, Visibility::Public(_)) {
                visit::visit_item(self, item); // with the variants and fields
            }
        } else {
            visit::visit_item(self, item);
        }
    }

    fn visit_item_impl(&mut self, it: &'ast ItemImpl) {
        if it.trait_.is_some() {
            self.found.push(("impl".into(), docs(&it.attrs)));
        }
        visit::visit_item_impl(self, it);
    }

    fn visit_impl_item(&mut self, item: &'ast ImplItem) {
        match item {
            ImplItem::Fn(it) => self.take(&it.sig.ident, &it.attrs, &it.vis),
            ImplItem::Const(it) => self.take(&it.ident, &it.attrs, &it.vis),
            _ => {}
        }
    }

    fn visit_trait_item(&mut self, item: &'ast TraitItem) {
        if let TraitItem::Fn(it) = item {
            self.found.push((it.sig.ident.to_string(), docs(&it.attrs)));
        }
    }

    fn visit_variant(&mut self, it: &'ast Variant) {
        self.found.push((it.ident.to_string(), docs(&it.attrs)));
        for field in &it.fields {
            self.found.push((it.ident.to_string(), docs(&field.attrs)));
        }
    }

    fn visit_item_macro(&mut self, it: &'ast ItemMacro) {
        // What it makes may be public: all its docs count.
        let text = it.mac.tokens.to_string();
        let lines = text.split("[doc = ").skip(1).filter_map(|rest| rest.split(']').next()).map(str::to_owned);
        self.found.push(("macro".into(), lines.collect()));
    }

    fn visit_field(&mut self, it: &'ast Field) {
        let name = it.ident.as_ref().map(ToString::to_string).unwrap_or_default();
        self.take(name, &it.attrs, &it.vis);
    }
}

fn public(file: &File) -> Vec<(String, Vec<String>)> {
    let mut public = Public::default();
    public.visit_file(file);
    public.found
}

#[test]
fn each_exported_type_and_function_has_an_example() {
    let sources = sources();
    let (_, lib) = sources.iter().find(|(name, _)| name == "lib.rs").unwrap();
    let (_, xml) = sources.iter().find(|(name, _)| name == "xml.rs").unwrap();
    let exported: BTreeSet<_> = exports(lib).into_iter().chain(exports(xml)).collect();
    let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (file, source) in sources.iter().filter(|(file, _)| !file.starts_with("ffi")) {
        // Only items count, no methods or variants of the same name.
        for item in &source.items {
            let mut it = Public::default();
            it.visit_item(item);
            let is_page = !matches!(item, Item::Const(_) | Item::Impl(_) | Item::Mod(_));
            if let Some((name, lines)) = it.found.first().filter(|(name, _)| is_page && exported.contains(name)) {
                assert!(found.insert(name.clone(), lines.clone()).is_none(), "{name} twice, in {file} as well");
            }
        }
    }
    assert!(found.len() > 30, "{} pages", found.len());
    for (part, of) in PARTS {
        let shows = has_example(&found[of]) && found[of].iter().any(|line| line.contains(part));
        assert!(shows, "the example of {of} does not show {part}");
    }
    let is_part = |name: &str| PARTS.iter().any(|(part, _)| *part == name);
    let without: Vec<_> =
        found.iter().filter(|(name, lines)| !is_part(name) && !has_example(lines)).map(|(name, _)| name).collect();
    assert!(without.is_empty(), "without an example: {without:?}");
}

/// What `find` finds in all public docs, each with its place.
fn in_public_docs(find: impl Fn(&[String]) -> Vec<&str>) -> Vec<String> {
    let mut all = Vec::new();
    for (file, source) in sources() {
        // The docs of a file are public where its module is.
        let pages =
            matches!(file.as_str(), "lib.rs" | "xml.rs" | "ffi.rs").then(|| (file.clone(), docs(&source.attrs)));
        for (name, lines) in public(&source).into_iter().chain(pages) {
            all.extend(find(&lines).into_iter().map(|line| format!("{file}, {name}: {line}")));
        }
    }
    all
}

#[test]
fn no_public_page_names_a_requirement() {
    let wrong = in_public_docs(|docs| docs.iter().map(String::as_str).filter(|line| names_requirement(line)).collect());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn no_page_cuts_an_example_or_a_diagram() {
    let wide = in_public_docs(too_wide);
    assert!(wide.is_empty(), "{}", wide.join("\n"));
}

#[test]
fn an_example_a_requirement_and_a_wide_line_are_known_when_they_are_seen() {
    let lines = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
    assert!(has_example(&lines("It is.\n\n```text\n──►\n```\n\n```\nlet x = 1;\n```")));
    assert!(!has_example(&lines("It is.\n\n```text\n──►\n```\n\n```compile_fail,E0599\nx.y()\n```")));
    assert!(names_requirement("the first error counts (TC-04).") && names_requirement(" I-09"));
    assert!(!names_requirement("XEP-0198 and UTF-8, RFC-6120, x-01, AB-1, TC-041"));
    let file =
        syn::parse_file("/// A\npub enum E { /** B */ V { /** C */ f: u8 } } /// D\nenum P { /** E */ X }").unwrap();
    assert_eq!(public(&file).len(), 3, "an enum, its variant and its field, and nothing private");
    let file = syn::parse_file("made! { /// The first error counts (TC-04).\nname = 1; }").unwrap();
    assert!(names_requirement(&public(&file)[0].1[0]));
}
