//! Parts of a roster: all that is known of some ids, which is a roster itself.

use std::collections::{BTreeMap, BTreeSet};

use model::NodeId;

use super::{Roster, RosterChange};

impl Roster {
    /// All that is known of these ids.
    pub fn of(&self, ids: &BTreeSet<NodeId>) -> Self {
        fn part<T: Clone>(all: &BTreeMap<NodeId, T>, ids: &BTreeSet<NodeId>) -> BTreeMap<NodeId, T> {
            ids.iter().filter_map(|id| Some((*id, all.get(id)?.clone()))).collect()
        }
        Self {
            adds: part(&self.adds, ids),
            removes: part(&self.removes, ids),
            contacts: part(&self.contacts, ids),
            leaving: part(&self.leaving, ids),
        }
    }

    /// The ids of which something else is known than in a roster that this one came from by merges and changes.
    pub fn differing(&self, before: &Self) -> BTreeSet<NodeId> {
        let mut ids = others(&self.adds, &before.adds);
        ids.append(&mut others(&self.removes, &before.removes));
        ids.append(&mut others(&self.contacts, &before.contacts));
        ids.append(&mut others(&self.leaving, &before.leaving));
        ids
    }

    /// What a merge of this other one would change.
    pub fn lacks_of(&self, other: &Self) -> RosterChange {
        let stays = |id: &NodeId| !self.removes.contains_key(id);
        let earlier = |known: Option<bool>| known.unwrap_or(true);
        let adds = other.adds.iter().any(|(id, add)| earlier(self.adds.get(id).map(|known| known > add)));
        let removes =
            other.removes.iter().any(|(id, gone)| earlier(self.removes.get(id).map(|known| known > gone)));
        let leaving = other
            .leaving
            .iter()
            .any(|(id, since)| stays(id) && earlier(self.leaving.get(id).map(|known| known > since)));
        let contacts = other
            .contacts
            .iter()
            .any(|(id, contact)| stays(id) && earlier(self.contacts.get(id).map(|known| known < contact)));
        RosterChange { members: adds || removes || leaving, contacts }
    }
}

/// The ids in `now` that are not the same in `before`.
fn others<T: PartialEq>(now: &BTreeMap<NodeId, T>, before: &BTreeMap<NodeId, T>) -> BTreeSet<NodeId> {
    now.iter().filter(|(id, of)| before.get(id) != Some(of)).map(|(id, _)| *id).collect()
}
