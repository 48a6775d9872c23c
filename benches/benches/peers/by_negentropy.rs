//! The `negentropy` crate: range-based set reconciliation over a sorted list of ids.

use negentropy::{Id, Negentropy, NegentropyStorageVector};

use crate::method::{Method, Session};
use crate::workload::{Item, Name, Workload};

/// Two replicas' storages.
pub struct ByNegentropy {
    first: NegentropyStorageVector,
    second: NegentropyStorageVector,
}

/// 32 bytes: the key, then its digest, so that both versions of an updated key fall into one range and the key is
/// known from the id.
fn id((name, digest): &Item) -> Id {
    let mut bytes = [0; 32];
    bytes[..16].copy_from_slice(name);
    bytes[16..].copy_from_slice(&digest.to_be_bytes());
    Id::from_byte_array(bytes)
}

fn storage(items: &[Item]) -> NegentropyStorageVector {
    let mut storage = NegentropyStorageVector::with_capacity(items.len());
    items.iter().for_each(|item| storage.insert(0, id(item)).unwrap());
    storage.seal().unwrap();
    storage
}

impl Method for ByNegentropy {
    type Kept = NegentropyStorageVector;

    const NAME: &'static str = "negentropy";
    const SETTINGS: &'static str = "negentropy 0.5.3: its own vector storage, no frame limit, timestamp 0 (the \
        shortest bounds); the id is the key and its digest, so that an update touches one range and not two";

    fn kept(common: &[Item]) -> NegentropyStorageVector {
        storage(common)
    }

    fn pair(_: &NegentropyStorageVector, workload: &Workload) -> ByNegentropy {
        ByNegentropy { first: storage(&workload.first_side()), second: storage(&workload.second_side()) }
    }

    fn session(&self) -> Session {
        let mut session = Session::default();
        let mut initiator = Negentropy::borrowed(&self.first, 0).unwrap();
        let mut responder = Negentropy::borrowed(&self.second, 0).unwrap();
        let (mut have, mut need) = (Vec::new(), Vec::new());
        let mut query = Some(initiator.initiate().unwrap());
        while let Some(asked) = query {
            let answer = responder.reconcile(&asked).unwrap();
            session.bytes += asked.len() + answer.len();
            session.round_trips += 1;
            query = initiator.reconcile_with_ids(&answer, &mut have, &mut need).unwrap();
        }
        let name = |id: &Id| -> Name { id.as_bytes()[..16].try_into().unwrap() };
        session.found = have.iter().chain(&need).map(name).collect();
        session
    }

    /// Nothing can be taken out of the crate's storage: old ids stay, which changes the time by little.
    fn write(kept: &mut NegentropyStorageVector, updates: &[(Item, Item)]) -> Option<()> {
        kept.unseal().unwrap();
        updates.iter().for_each(|(_, new)| kept.insert(0, id(new)).unwrap());
        kept.seal().unwrap();
        Some(())
    }
}
