//! Which of several nodes a person means by a name or an id: in one place, so that a command and the node that it asks
//! never mean two.

use model::NodeId;

/// The node of this id; else the one of this name. An id always wins, since a name may read like the id of another node.
pub(crate) fn named<T>(
    all: impl IntoIterator<Item = T>,
    wanted: &str,
    of: impl Fn(&T) -> (NodeId, &str),
) -> Option<T> {
    let id: Option<NodeId> = wanted.parse().ok();
    let mut by_name = None;
    for one in all {
        let (its_id, its_name) = of(&one);
        if Some(its_id) == id {
            return Some(one);
        }
        if its_name == wanted && by_name.is_none() {
            by_name = Some(one);
        }
    }
    by_name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_wins_over_a_name_that_reads_like_it() {
        let all = [(NodeId(1), "n1"), (NodeId(4), "0000000000000003"), (NodeId(3), "n3"), (NodeId(5), "n3")];
        let found = |wanted: &str| named(all, wanted, |(id, name)| (*id, name)).map(|(id, _)| id.0);
        assert_eq!(found("0000000000000003"), Some(3));
        assert_eq!((found("n3"), found("n1"), found("n9")), (Some(3), Some(1), None));
        assert_eq!(found("0000000000000009"), None);
    }
}
