//! The known word nearest to one that is not known, for "did you mean".

/// The candidate with the fewest edits from `word`, where those are few enough to be a slip of the hand.
pub(crate) fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let allowed = (word.chars().count() / 3).max(2);
    candidates
        .into_iter()
        .map(|candidate| (edits(word, candidate), candidate))
        .filter(|(edits, _)| *edits <= allowed)
        .min_by_key(|(edits, _)| *edits)
        .map(|(_, candidate)| candidate)
}

/// Insertions, removals and replacements that turn `from` into `to`.
fn edits(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (line, letter) in from.chars().enumerate() {
        let mut next = Vec::with_capacity(row.len());
        let mut left = line + 1;
        next.push(left);
        for (above, other) in row.windows(2).zip(&to) {
            let [diagonal, up] = above else { continue };
            let replaced = diagonal + usize::from(letter != *other);
            left = replaced.min(up + 1).min(left + 1);
            next.push(left);
        }
        row = next;
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edits_counts_changes() {
        assert_eq!(edits("", "abc"), 3);
        assert_eq!(edits("abc", ""), 3);
        assert_eq!(edits("kitten", "sitting"), 3);
        assert_eq!(edits("same", "same"), 0);
    }

    #[test]
    fn a_slip_finds_its_word_and_a_stranger_none() {
        let known = ["data_dir", "http", "gossip", "repair_interval"];
        assert_eq!(nearest("data-dir", known), Some("data_dir"));
        assert_eq!(nearest("repair_intervall", known), Some("repair_interval"));
        assert_eq!(nearest("colour", known), None);
    }
}
