//! What the tests about the source text share: the files of the repository, and what each file names.

#![allow(dead_code, unused_imports)] // each test binary uses its own part

mod names;

pub use names::{cfg_test_modules, names};

use std::fs;
use std::path::{Path, PathBuf};

/// One text file: its path from the top of the repository, with `/` between the parts, and its text.
pub struct Source {
    pub path: String,
    pub text: String,
}

/// The top of the repository.
pub fn repo_root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().expect("the repository")
}

/// Every `.rs` file under the given folders, in path order.
pub fn rust_sources(folders: &[&str]) -> Vec<Source> {
    text_files(folders).into_iter().filter(|file| file.path.ends_with(".rs")).collect()
}

/// Every UTF-8 file under the given folders and every given file, in path order; build folders left out.
pub fn text_files(roots: &[&str]) -> Vec<Source> {
    let top = repo_root();
    let mut files = Vec::new();
    for root in roots {
        collect(&top, &top.join(root), &mut files);
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    files
}

fn collect(top: &Path, path: &Path, files: &mut Vec<Source>) {
    if path.is_dir() {
        if path.ends_with("target") {
            return;
        }
        let mut inside: Vec<PathBuf> = fs::read_dir(path)
            .expect("a readable folder")
            .map(|entry| entry.expect("an entry").path())
            .collect();
        inside.sort();
        for child in inside {
            collect(top, &child, files);
        }
    } else if let Ok(text) = fs::read_to_string(path) {
        let relative = path.strip_prefix(top).expect("inside the repository");
        let path = relative.to_string_lossy().replace('\\', "/");
        files.push(Source { path, text });
    }
}

/// A file's parse tree. A file that does not parse fails the test with its name.
pub fn parse(source: &Source) -> syn::File {
    syn::parse_file(&source.text).unwrap_or_else(|error| panic!("{}: {error}", source.path))
}

/// The source files of a crate that are part of the program: its `src`, without what only its tests compile.
pub fn program_sources(crate_folder: &str) -> Vec<Source> {
    let all = rust_sources(&[&format!("{crate_folder}/src")]);
    let test_only: Vec<String> =
        all.iter().flat_map(|source| cfg_test_modules(&source.path, &parse(source))).collect();
    let is_test = |path: &str| {
        test_only
            .iter()
            .any(|module| path == format!("{module}.rs") || path.starts_with(&format!("{module}/")))
    };
    all.into_iter().filter(|source| !is_test(&source.path)).collect()
}
