//! What an import left out and why.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;

use serde::Serialize;

use super::super::output::{Coloured, Screen, harmless};
use super::walk;

/// How many paths are shown for each reason; `--json` has them all.
const SHOWN_EACH: usize = 5;

/// A path that was left out.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Skipped {
    pub(crate) path: PathBuf,
    pub(crate) reason: Reason,
}

/// Why a path was left out. None of these makes an import fail.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Reason {
    Symlink,
    NotRegular,
    KeyTooLong,
    TooLarge,
    Unreadable(String),
}

impl Reason {
    pub(crate) fn unreadable(error: &io::Error) -> Self {
        Self::Unreadable(match error.kind() {
            io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
            io::ErrorKind::NotFound => "it was removed meanwhile".to_owned(),
            _ => error.to_string(),
        })
    }

    pub(crate) fn text(&self) -> String {
        match self {
            Self::Symlink => "a symbolic link".to_owned(),
            Self::NotRegular => "not a regular file".to_owned(),
            Self::KeyTooLong => "its key would be longer than 1,024 bytes".to_owned(),
            Self::TooLarge => {
                "larger than the node takes (--value-bytes-max, 1 MiB unless it was changed)".to_owned()
            }
            Self::Unreadable(why) => format!("unreadable: {}", harmless(why)),
        }
    }
}

/// A path for programs.
#[derive(Debug, Serialize)]
pub(crate) struct SkippedView {
    path: String,
    reason: String,
}

impl Skipped {
    pub(crate) fn view(&self) -> SkippedView {
        SkippedView { path: walk::shown(&self.path), reason: self.reason.text() }
    }
}

/// A table: for each reason how many, and some of the paths. Empty where nothing was left out.
pub(crate) fn table(screen: Screen, skipped: &[Skipped]) -> String {
    let mut by_reason: BTreeMap<&Reason, Vec<&Skipped>> = BTreeMap::new();
    for one in skipped {
        by_reason.entry(&one.reason).or_default().push(one);
    }
    let mut rows = Vec::new();
    for (reason, paths) in by_reason {
        for (index, one) in paths.iter().take(SHOWN_EACH).enumerate() {
            let count = if index == 0 { paths.len().to_string() } else { String::new() };
            let text = if index == 0 { reason.text() } else { String::new() };
            rows.push(vec![count, text, walk::shown(&one.path)]);
        }
        if let Some(more) = paths.len().checked_sub(SHOWN_EACH).filter(|more| *more > 0) {
            rows.push(vec![String::new(), String::new(), format!("and {more} more")]);
        }
    }
    if rows.is_empty() {
        return String::new();
    }
    let rows = rows.into_iter().map(|row| row.into_iter().map(Coloured::plain).collect()).collect();
    screen.table(&["skipped", "why", "path"], rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_grouped_and_long_lists_cut() {
        let mut skipped: Vec<Skipped> = (0..7)
            .map(|index| Skipped { path: format!("/etc/link{index}").into(), reason: Reason::Symlink })
            .collect();
        let denied = Reason::unreadable(&io::ErrorKind::PermissionDenied.into());
        skipped.push(Skipped { path: "/etc/shadow".into(), reason: denied });
        insta::assert_snapshot!(table(Screen::PLAIN, &skipped), @r"
        skipped  why                            path
        7        a symbolic link                /etc/link0
                                                /etc/link1
                                                /etc/link2
                                                /etc/link3
                                                /etc/link4
                                                and 2 more
        1        unreadable: permission denied  /etc/shadow
        ");
        assert_eq!(table(Screen::PLAIN, &[]), "");
    }
}
