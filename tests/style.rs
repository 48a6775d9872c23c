//! What can be said about the source text by looking at it: sizes, ignored tests, paths of one machine.

#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing)]

mod source_tree;

use source_tree::{Source, parse, rust_sources, text_files};
use syn::visit::{self, Visit};

const FILE_LINES_MAX: usize = 450;
const FUNCTION_LINES_MAX: usize = 70;

/// A thing that is longer than the limit, and how long it may be: `path` for a file, `path::function` for a
/// function. A line here may only go down: once the thing has come under the limit the line must go.
const LONGER: &[(&str, usize)] = &[];

const CODE: &[&str] = &["crates", "benches", "tests"];

/// Everything that is part of the repository and read by people.
const TEXT: &[&str] = &[
    ".ci",
    ".cargo",
    ".dockerignore",
    ".gitignore",
    "ARCHITECTURE.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "Cargo.toml",
    "README.md",
    "benches",
    "clippy.toml",
    "crates",
    "deny.toml",
    "deploy",
    "docs",
    "justfile",
    "tests",
];

/// One thing's name and its length in lines.
#[derive(Debug, PartialEq, Eq)]
struct Length {
    name: String,
    lines: usize,
}

fn file_length(source: &Source) -> Length {
    Length { name: source.path.clone(), lines: source.text.lines().count() }
}

/// From the line of its name to that of the closing brace; documentation and attributes do not count.
fn function_lengths(source: &Source) -> Vec<Length> {
    let mut finder = Functions { path: &source.path, found: Vec::new() };
    finder.visit_file(&parse(source));
    finder.found
}

struct Functions<'a> {
    path: &'a str,
    found: Vec<Length>,
}

impl Functions<'_> {
    fn add(&mut self, signature: &syn::Signature, body: &syn::Block) {
        let lines = body.brace_token.span.close().end().line - signature.ident.span().start().line + 1;
        self.found.push(Length { name: format!("{}::{}", self.path, signature.ident), lines });
    }
}

impl<'ast> Visit<'ast> for Functions<'_> {
    fn visit_item_fn(&mut self, function: &'ast syn::ItemFn) {
        self.add(&function.sig, &function.block);
        visit::visit_item_fn(self, function);
    }

    fn visit_impl_item_fn(&mut self, function: &'ast syn::ImplItemFn) {
        self.add(&function.sig, &function.block);
        visit::visit_impl_item_fn(self, function);
    }

    fn visit_trait_item_fn(&mut self, function: &'ast syn::TraitItemFn) {
        if let Some(body) = &function.default {
            self.add(&function.sig, body);
        }
        visit::visit_trait_item_fn(self, function);
    }
}

/// What is too long, and which exceptions no longer are needed.
fn too_long(lengths: &[Length], max: usize, exceptions: &[(&str, usize)]) -> Vec<String> {
    let mut wrong = Vec::new();
    for Length { name, lines } in lengths {
        match exceptions.iter().find(|(exception, _)| exception == name) {
            None if *lines > max => wrong.push(format!("{name}: {lines} lines, at most {max}")),
            Some((_, allowed)) if lines > allowed => {
                wrong.push(format!("{name}: {lines} lines, at most {allowed} by its exception"))
            }
            Some(_) if *lines <= max => wrong.push(format!("{name}: {lines} lines: take its exception out")),
            _ => {}
        }
    }
    wrong
}

/// Exceptions that name nothing that exists.
fn stale_exceptions(lengths: &[Length], exceptions: &[(&str, usize)]) -> Vec<String> {
    let gone = |name: &str| !lengths.iter().any(|length| length.name == name);
    exceptions
        .iter()
        .filter(|(name, _)| gone(name))
        .map(|(name, _)| format!("{name}: not there any more"))
        .collect()
}

/// `#[ignore]` must say why.
fn ignored_without_reason(source: &Source) -> Vec<String> {
    let mut finder = Ignored { found: 0 };
    finder.visit_file(&parse(source));
    vec![format!("{}: #[ignore] without a reason", source.path); finder.found]
}

struct Ignored {
    found: usize,
}

impl<'ast> Visit<'ast> for Ignored {
    fn visit_attribute(&mut self, attribute: &'ast syn::Attribute) {
        if attribute.path().is_ident("ignore") && !matches!(attribute.meta, syn::Meta::NameValue(_)) {
            self.found += 1;
        }
    }
}

/// Lines that name a folder of the machine somebody worked on. The patterns are put together here, since
/// this file is read too.
fn machine_paths(source: &Source) -> Vec<String> {
    let patterns = [["/wo", "rk/"], ["/ro", "ot/"], ["/tmp/", "t-"], ["/tmp/", "plan"], ["/Use", "rs/"]]
        .map(|parts| parts.concat());
    let lines = source.text.lines().enumerate();
    lines
        .filter(|(_, line)| patterns.iter().any(|pattern| line.contains(pattern)))
        .map(|(index, line)| format!("{}:{}: {}", source.path, index + 1, line.trim()))
        .collect()
}

#[test]
fn files_and_functions_are_short() {
    let sources = rust_sources(CODE);
    let files: Vec<Length> = sources.iter().map(file_length).collect();
    let functions: Vec<Length> = sources.iter().flat_map(function_lengths).collect();
    let mut wrong = too_long(&files, FILE_LINES_MAX, LONGER);
    wrong.extend(too_long(&functions, FUNCTION_LINES_MAX, LONGER));
    let all: Vec<Length> = files.into_iter().chain(functions).collect();
    wrong.extend(stale_exceptions(&all, LONGER));
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn ignored_tests_say_why() {
    let wrong: Vec<String> = rust_sources(CODE).iter().flat_map(ignored_without_reason).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn nothing_names_a_folder_of_one_machine() {
    let wrong: Vec<String> = text_files(TEXT).iter().flat_map(machine_paths).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

// The checks themselves, fed what they must refuse.

fn source(text: &str) -> Source {
    Source { path: "a.rs".to_owned(), text: text.to_owned() }
}

fn length(name: &str, lines: usize) -> Length {
    Length { name: name.to_owned(), lines }
}

#[test]
fn a_long_file_is_found_and_an_exception_only_goes_down() {
    assert_eq!(file_length(&source("//\n//\n//\n")), length("a.rs", 3));
    assert!(too_long(&[length("a.rs", 3)], 3, &[]).is_empty());
    assert_eq!(too_long(&[length("a.rs", 4)], 3, &[]), ["a.rs: 4 lines, at most 3"]);
    assert!(too_long(&[length("a.rs", 5)], 3, &[("a.rs", 5)]).is_empty());
    assert_eq!(
        too_long(&[length("a.rs", 6)], 3, &[("a.rs", 5)]),
        ["a.rs: 6 lines, at most 5 by its exception"]
    );
    assert_eq!(too_long(&[length("a.rs", 3)], 3, &[("a.rs", 5)]), ["a.rs: 3 lines: take its exception out"]);
    assert_eq!(stale_exceptions(&[length("a.rs", 3)], &[("b.rs", 5)]), ["b.rs: not there any more"]);
}

#[test]
fn functions_are_measured_wherever_they_stand() {
    let text = "/// Docs.\n#[inline]\npub fn one() {}\n\
                impl A {\n  fn two(\n    a: u8,\n  ) {\n    let brace = \"}\";\n  }\n}\n\
                trait T {\n  fn none();\n  fn three() {\n    fn inner() {\n    }\n  }\n}\n";
    let expected =
        [length("a.rs::one", 1), length("a.rs::two", 5), length("a.rs::three", 4), length("a.rs::inner", 2)];
    assert_eq!(function_lengths(&source(text)), expected);
}

#[test]
fn an_ignored_test_without_a_reason_is_found() {
    assert_eq!(ignored_without_reason(&source("#[test]\n#[ignore]\nfn f() {}")).len(), 1);
    assert!(ignored_without_reason(&source("#[test]\n#[ignore = \"needs Docker\"]\nfn f() {}")).is_empty());
}

#[test]
fn a_machine_path_is_found() {
    let bad = format!("let data = \"{}{}\";", "/ro", "ot/.cargo");
    assert_eq!(machine_paths(&source(&bad)).len(), 1);
    assert!(machine_paths(&source("let data = \"/data\";")).is_empty());
}
