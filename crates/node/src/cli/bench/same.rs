//! Whether nodes hold the same.

use super::super::endpoint::Remote;
use super::super::error::CliError;

/// Whether all nodes show the same root; gives back how many keys they hold.
pub(crate) async fn same(nodes: &[Remote]) -> Result<Option<u64>, CliError> {
    let (mut root, mut keys) = (None, 0);
    for node in nodes {
        let held = node.cluster().await?;
        keys = held.keys;
        if *root.get_or_insert_with(|| held.root.clone()) != held.root {
            return Ok(None);
        }
    }
    Ok(Some(keys))
}
