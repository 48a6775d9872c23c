//! Quarantine files that nobody would import as they are.

use super::FLAGS;
use super::support::{Cluster, SOON, fails, json, mangrove, run};

/// Values of one cluster mean nothing in another.
#[test]
fn a_quarantine_file_of_another_cluster_is_imported_only_by_force() {
    let cluster = Cluster::start(1, FLAGS);
    let one = cluster.api(0);
    let file = cluster.home().join("other");
    let dot = model::Dot { hlc: model::Hlc::new(1_700_000_000_000, 0), writer: model::WriterId(1) };
    let sibling = model::Sibling::new(dot, "elsewhere".into(), None, model::Expiry::NEVER);
    let mut entry = model::Entry::default();
    entry.write(&model::Context::default(), dot, Some(sibling));
    let row = (model::Key::new("k").unwrap(), entry);
    let other = model::ClusterId([7; 16]);
    storage::Quarantine::open(&file, other).unwrap().append(1, &[row]).unwrap();
    let import = |more: &[&str]| {
        let mut command = mangrove();
        command.args(["quarantine", "import", "--yes", "--json"]).arg(&file).args(more);
        run(command.args(["--endpoint", &format!("http://{}", one.address)]), SOON)
    };
    let refused = import(&[]);
    assert!(refused.stderr.contains(&other.to_string()), "{}", refused.stderr);
    assert!(refused.stderr.contains(&cluster.nodes[0].view().cluster.unwrap()), "{}", refused.stderr);
    fails(refused, 2, "say --force");
    assert_eq!(one.text("k"), None);
    assert_eq!(json(&import(&["--force"]).expect(0))["brought"], 1);
    assert_eq!(one.text("k").as_deref(), Some("elsewhere"));
}

/// One value that a node does not take must not keep back those behind it, at this import and at each that follows.
#[test]
fn an_import_goes_on_behind_a_value_that_is_refused() {
    let mut flags = FLAGS.to_vec();
    flags.extend(["--value-bytes-max", "1KiB"]);
    let cluster = Cluster::start(1, &flags);
    let one = cluster.api(0);
    let file = cluster.home().join("large");
    let row = |key: &str, bytes: usize| {
        let dot = model::Dot { hlc: model::Hlc::new(1_700_000_000_000, 0), writer: model::WriterId(1) };
        let sibling = model::Sibling::new(dot, vec![b'v'; bytes].into(), None, model::Expiry::NEVER);
        let mut entry = model::Entry::default();
        entry.write(&model::Context::default(), dot, Some(sibling));
        (model::Key::new(key.to_owned()).unwrap(), entry)
    };
    let rows = [row("a", 1), row("large", 2_000), row("z", 2)];
    storage::Quarantine::open(&file, model::ClusterId([7; 16])).unwrap().append(1, &rows).unwrap();
    let import = |more: &[&str]| {
        let mut command = mangrove();
        command.args(["quarantine", "import", "--yes", "--force"]).arg(&file).args(more);
        run(command.args(["--endpoint", &format!("http://{}", one.address)]), SOON)
    };
    let ran = import(&["--json"]);
    assert_eq!(ran.code(), Some(1), "{}", ran.stderr);
    assert!(ran.stderr.contains("large was refused: A value has at most 1024 bytes here"), "{}", ran.stderr);
    let report = json(&ran);
    assert_eq!((&report["brought"], &report["refused"]), (&2.into(), &1.into()), "{report}");
    assert!(report["values"][1]["why"].as_str().unwrap().contains("1024 bytes"), "{report}");
    assert_eq!((one.text("a").as_deref(), one.text("z").as_deref()), (Some("v"), Some("vv")));
    let again = import(&[]);
    let text = again.text();
    assert!(text.contains("0 values added, 2 are there already, 0 have expired, 1 were refused"), "{text}");
    assert_eq!(again.code(), Some(1));
    assert!(again.stderr.contains("1 of 3 values were refused"), "{}", again.stderr);
}
