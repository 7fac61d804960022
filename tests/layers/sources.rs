//! The sources of the library as syntax: which modules each names, and what its structs are.

use std::{
    fs,
    path::{Path, PathBuf},
};

use syn::{
    Attribute, Fields, File, Item, ItemUse, Macro, Meta, Type, UseTree,
    visit::{self, Visit},
};

/// One source file.
pub struct Source {
    pub name: String,
    pub text: String,
    /// Where it stands in the crate: `["engine", "facts"]`.
    place: Vec<String>,
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// The Rust files below a folder, if there is one.
fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let paths = entries.map(|entry| entry.unwrap().path());
    paths.flat_map(|path| if path.is_dir() { rust_files(&path) } else { vec![path] }).collect()
}

impl Source {
    /// All sources of a module: `src/name.rs` and the files below `src/name/`, without those of tests.
    pub fn of(module: &str) -> Vec<Self> {
        let mut files = rust_files(&folder().join(module));
        files.push(folder().join(format!("{module}.rs")));
        let read = |file: PathBuf| {
            let text = fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
            let place = file.strip_prefix(folder()).unwrap().with_extension("");
            let place = place.iter().map(|part| part.to_str().unwrap().to_owned()).collect();
            Self { name: file.display().to_string(), text, place }
        };
        files.into_iter().map(read).filter(|source| !source.place.iter().any(|part| part == "tests")).collect()
    }

    pub fn from_text(place: &[&str], text: &str) -> Self {
        Self { name: "text".into(), text: text.into(), place: place.iter().map(|&part| part.to_owned()).collect() }
    }

    pub fn without_comments_and_tests(&self) -> String {
        let code = self.text.split("#[cfg(test)]").next().unwrap();
        code.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
    }

    fn parse(&self) -> File {
        syn::parse_file(&self.text).unwrap_or_else(|error| panic!("{}: {error}", self.name))
    }
}

/// The modules at the top of the crate.
pub fn modules() -> Vec<String> {
    let names = fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path());
    names
        .filter(|path| path.extension().is_some_and(|e| e == "rs"))
        .map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned())
        .collect()
}

/// What the crate exports, each name with the module it comes from.
pub fn exports() -> Vec<(String, String)> {
    let lib = Source::of("lib").remove(0).parse();
    let uses = lib.items.iter().filter_map(|item| if let Item::Use(item) = item { Some(item) } else { None });
    uses.flat_map(|item| paths(&item.tree)).map(|path| (path[path.len() - 1].clone(), path[0].clone())).collect()
}

/// All paths of a `use`, each as its parts.
fn paths(tree: &UseTree) -> Vec<Vec<String>> {
    let behind = |first: String, rest: Vec<Vec<String>>| {
        rest.into_iter().map(|path| [vec![first.clone()], path].concat()).collect()
    };
    match tree {
        UseTree::Path(path) => behind(path.ident.to_string(), paths(&path.tree)),
        UseTree::Name(name) => vec![vec![name.ident.to_string()]],
        UseTree::Rename(name) => vec![vec![name.ident.to_string()]],
        UseTree::Glob(_) => vec![vec!["*".into()]],
        UseTree::Group(group) => group.items.iter().flat_map(paths).collect(),
    }
}

struct Names<'a> {
    place: Vec<String>,
    exports: &'a [(String, String)],
    found: Vec<String>,
}

impl Names<'_> {
    fn path(&mut self, parts: &[String]) {
        let mut place = self.place.clone();
        let mut parts = parts.iter();
        let mut rest = parts.clone();
        match parts.next().map(String::as_str) {
            Some("crate") => {
                place.clear();
                rest.next();
            }
            Some("self" | "super") => {}
            _ => return, // of this module, or of another crate
        }
        for part in rest {
            match part.as_str() {
                "self" => {}
                "super" => _ = place.pop().expect("a module above"),
                name => {
                    place.push(name.to_owned());
                    break;
                }
            }
        }
        let Some(first) = place.first() else { return };
        let export = self.exports.iter().find(|(name, _)| name == first);
        self.found.push(export.map_or(first, |(_, module)| module).clone());
    }

    /// What a macro is given, or makes, is no syntax yet: `crate`, `super` and what follows are looked for.
    fn tokens(&mut self, tokens: &str) {
        let mut path: Vec<String> = Vec::new();
        // Whatever stands between two names but `::` ends a path.
        let code = tokens.replace("::", "\u{0}");
        for piece in code.split_inclusive(|c: char| !c.is_alphanumeric() && !['_', '\u{0}', ' ', '\n'].contains(&c)) {
            for step in piece.split('\u{0}') {
                let mut words = step.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|word| !word.is_empty());
                let (first, last) = (words.next(), words.next_back());
                path.extend(first.map(str::to_owned));
                if let Some(last) = last {
                    self.path(&path);
                    path = vec![last.to_owned()];
                }
            }
            self.path(&path);
            path.clear();
        }
    }
}

fn is_test(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        let Meta::List(list) = &attribute.meta else { return false };
        list.path.is_ident("cfg") && list.tokens.to_string() == "test"
    })
}

fn attributes(item: &Item) -> &[Attribute] {
    match item {
        Item::Mod(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        _ => &[],
    }
}

impl<'ast> Visit<'ast> for Names<'_> {
    fn visit_item(&mut self, item: &'ast Item) {
        if !is_test(attributes(item)) {
            visit::visit_item(self, item);
        }
    }

    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        self.place.push(item.ident.to_string());
        visit::visit_item_mod(self, item);
        self.place.pop();
    }

    fn visit_item_use(&mut self, item: &'ast ItemUse) {
        paths(&item.tree).iter().for_each(|path| self.path(path));
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let parts: Vec<_> = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
        self.path(&parts);
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, item: &'ast Macro) {
        self.tokens(&item.tokens.to_string());
        visit::visit_macro(self, item);
    }

    fn visit_attribute(&mut self, attribute: &'ast Attribute) {
        if let Meta::List(list) = &attribute.meta {
            self.tokens(&list.tokens.to_string());
        }
        visit::visit_attribute(self, attribute);
    }

    fn visit_visibility(&mut self, _: &'ast syn::Visibility) {} // `pub(crate)` names nothing
}

/// The modules of this crate that a file names, itself included, outside its tests.
pub fn named(source: &Source, exports: &[(String, String)]) -> Vec<String> {
    let mut names = Names { place: source.place.clone(), exports, found: Vec::new() };
    names.visit_file(&source.parse());
    names.found
}

/// A struct, or a variant of an enum.
pub struct Struct {
    pub name: String,
    pub fields: usize,
    pub booleans: usize,
}

#[derive(Default)]
struct Structs(Vec<Struct>);

/// Finds `bool` in a type.
struct Booleans(bool);

impl<'ast> Visit<'ast> for Booleans {
    fn visit_path(&mut self, path: &'ast syn::Path) {
        self.0 |= path.is_ident("bool");
        visit::visit_path(self, path);
    }

    // What a function is given, or answers, is none of the struct's.
    fn visit_type_bare_fn(&mut self, _: &'ast syn::TypeBareFn) {}
    fn visit_parenthesized_generic_arguments(&mut self, _: &'ast syn::ParenthesizedGenericArguments) {}
}

fn is_boolean(kind: &Type) -> bool {
    let mut booleans = Booleans(false);
    booleans.visit_type(kind);
    booleans.0
}

impl Structs {
    fn add(&mut self, name: String, fields: &Fields) {
        let booleans = fields.iter().filter(|field| is_boolean(&field.ty)).count();
        self.0.push(Struct { name, fields: fields.len(), booleans });
    }
}

impl<'ast> Visit<'ast> for Structs {
    fn visit_item_struct(&mut self, item: &'ast syn::ItemStruct) {
        self.add(item.ident.to_string(), &item.fields);
    }

    fn visit_variant(&mut self, variant: &'ast syn::Variant) {
        self.add(variant.ident.to_string(), &variant.fields);
    }
}

pub fn structs(source: &Source) -> Vec<Struct> {
    let mut structs = Structs::default();
    structs.visit_file(&source.parse());
    structs.0
}
