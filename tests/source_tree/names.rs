//! Which paths a source file names: `use` trees, paths in types and expressions, and what stands in macros.

use proc_macro2::{TokenStream, TokenTree};
use syn::visit::{self, Visit};

/// Every path the file names outside `#[cfg(test)]` items, with `::` between its segments.
/// A leading `::` is left out, so `::tokio::spawn` and `tokio::spawn` are the same name.
pub fn names(file: &syn::File) -> Vec<String> {
    let mut finder = Names::default();
    finder.visit_file(file);
    finder.found
}

/// The module files that a file declares under `#[cfg(test)]`, as paths without `.rs`.
pub fn cfg_test_modules(path: &str, file: &syn::File) -> Vec<String> {
    let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
    let stem = name.trim_end_matches(".rs");
    let inside = match stem {
        "lib" | "main" | "mod" => folder.to_owned(),
        _ => format!("{folder}/{stem}"),
    };
    file.items
        .iter()
        .filter_map(|item| match item {
            syn::Item::Mod(module) if module.content.is_none() && is_cfg_test(&module.attrs) => {
                Some(format!("{inside}/{}", module.ident))
            }
            _ => None,
        })
        .collect()
}

fn is_cfg_test(attributes: &[syn::Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        attribute.path().is_ident("cfg")
            && attribute.parse_args::<syn::Path>().is_ok_and(|condition| condition.is_ident("test"))
    })
}

#[derive(Default)]
struct Names {
    found: Vec<String>,
}

impl Names {
    fn use_tree(&mut self, before: &str, tree: &syn::UseTree) {
        let join = |name: &str| if before.is_empty() { name.to_owned() } else { format!("{before}::{name}") };
        match tree {
            syn::UseTree::Path(path) => self.use_tree(&join(&path.ident.to_string()), &path.tree),
            syn::UseTree::Name(name) if name.ident == "self" => self.found.push(before.to_owned()),
            syn::UseTree::Name(name) => self.found.push(join(&name.ident.to_string())),
            syn::UseTree::Rename(rename) => self.found.push(join(&rename.ident.to_string())),
            syn::UseTree::Glob(_) => self.found.push(join("*")),
            syn::UseTree::Group(group) => group.items.iter().for_each(|item| self.use_tree(before, item)),
        }
    }

    /// Macro bodies are not parsed: any chain of words joined by `::` counts.
    fn tokens(&mut self, tokens: &TokenStream) {
        let mut chain: Vec<String> = Vec::new();
        let mut joined = false;
        for token in tokens.clone() {
            match token {
                TokenTree::Ident(ident) => {
                    if !joined {
                        self.end_chain(&mut chain);
                    }
                    chain.push(ident.to_string());
                    joined = false;
                }
                TokenTree::Punct(punct) if punct.as_char() == ':' => joined = true,
                TokenTree::Group(group) => {
                    self.end_chain(&mut chain);
                    joined = false;
                    self.tokens(&group.stream());
                }
                _ => {
                    self.end_chain(&mut chain);
                    joined = false;
                }
            }
        }
        self.end_chain(&mut chain);
    }

    fn end_chain(&mut self, chain: &mut Vec<String>) {
        if chain.len() > 1 {
            self.found.push(chain.join("::"));
        }
        chain.clear();
    }
}

impl<'ast> Visit<'ast> for Names {
    fn visit_item(&mut self, item: &'ast syn::Item) {
        let attributes: &[syn::Attribute] = match item {
            syn::Item::Mod(item) => &item.attrs,
            syn::Item::Fn(item) => &item.attrs,
            syn::Item::Use(item) => &item.attrs,
            syn::Item::Impl(item) => &item.attrs,
            syn::Item::Struct(item) => &item.attrs,
            _ => &[],
        };
        if !is_cfg_test(attributes) {
            visit::visit_item(self, item);
        }
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        self.use_tree("", &item.tree);
    }

    fn visit_item_extern_crate(&mut self, item: &'ast syn::ItemExternCrate) {
        self.found.push(item.ident.to_string());
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let segments: Vec<String> = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
        if segments.len() > 1 || path.leading_colon.is_some() {
            self.found.push(segments.join("::"));
        }
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, call: &'ast syn::Macro) {
        self.visit_path(&call.path);
        self.tokens(&call.tokens);
    }
}
