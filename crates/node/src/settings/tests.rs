use std::num::NonZeroU64;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::values::Written;
use super::*;

fn written(text: &str) -> Option<Written> {
    Some(Written(text.to_owned()))
}

fn environment(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn config(folder: &Path, text: &str) -> PathBuf {
    let path = folder.join("mangrove.toml");
    std::fs::write(&path, text).unwrap();
    path
}

fn refused(flags: &Flags, variables: &[(&str, &str)]) -> String {
    load(flags, environment(variables), None).unwrap_err().to_string()
}

fn refused_toml(text: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    let path = config(folder.path(), text);
    let error = load(&Flags::default(), [], Some(&path)).unwrap_err().to_string();
    error.replace(&path.display().to_string(), "mangrove.toml")
}

#[test]
fn the_defaults_hold_on_one_machine() {
    let (settings, warnings) = load(&Flags::default(), [], None).unwrap();
    assert!(warnings.is_empty());
    assert_eq!(settings.http.to_string(), "127.0.0.1:7710");
    assert_eq!(settings.gossip.to_string(), "127.0.0.1:7711");
    assert_eq!(settings.repair_interval, Duration::from_secs(1));
    assert_eq!(settings.value_bytes_max, 1 << 20);
    assert_eq!(settings.durability, Durability::Fsync);
    assert!(settings.rumors && settings.anti_entropy && !settings.found && !settings.insecure);
    assert!(settings.join.is_empty());
    assert_eq!(settings.repair_max_bytes_per_second, None);
    assert_eq!(settings.repair_method, RepairMethod::Auto);
    assert_eq!(settings.transport_delay, Duration::ZERO);
    assert!(settings.repair_governor && !settings.allow_drills);
    assert_eq!(settings.scrub_bytes_per_second, 2 << 20);
}

#[test]
fn repair_is_told_its_rate_its_method_and_whether_to_give_way() {
    let flags = Flags { repair_max_bytes_per_second: written("1MiB"), ..Flags::default() };
    let variables = environment(&[
        ("MANGROVE_REPAIR_GOVERNOR", "off"),
        ("MANGROVE_REPAIR_METHOD", "sketch"),
        ("MANGROVE_ALLOW_DRILLS", "on"),
        ("MANGROVE_TRANSPORT_DELAY", "25ms"),
    ]);
    let (settings, warnings) = load(&flags, variables, None).unwrap();
    assert!(warnings.is_empty());
    assert_eq!(settings.repair_max_bytes_per_second.map(NonZeroU64::get), Some(1 << 20));
    assert_eq!(settings.repair_method, RepairMethod::Sketch);
    assert_eq!(settings.transport_delay, Duration::from_millis(25));
    assert!(!settings.repair_governor && settings.allow_drills);
    assert_eq!(
        refused(&Flags { repair_max_bytes_per_second: written("0"), ..Flags::default() }, &[]),
        "--repair-max-bytes-per-second is \"0\", but it wants 128KiB (a second) or more; leave it out for no limit"
    );
    assert_eq!(
        refused(&Flags { transport_delay: written("6s"), ..Flags::default() }, &[]),
        "--transport-delay is \"6s\", but it wants 0s to 5s"
    );
    assert!(refused_toml("repair_method = 'guess'").ends_with("but it wants auto, tree or sketch"));
}

#[test]
fn flags_are_over_the_environment_over_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = config(
        folder.path(),
        "name = 'file'\nfanout = 5\nrepair_interval = '2s'\nrumors = false\nvalue_bytes_max = '64KiB'\njoin = ['a', 'b:1']\n",
    );
    let flags = Flags { name: written("flag"), ..Flags::default() };
    let variables = environment(&[("MANGROVE_NAME", "variable"), ("MANGROVE_FANOUT", "7"), ("HOME", "/")]);
    let (settings, _) = load(&flags, variables, Some(&path)).unwrap();
    assert_eq!(settings.name.as_str(), "flag");
    assert_eq!(settings.fanout, 7);
    assert_eq!(settings.repair_interval, Duration::from_secs(2));
    assert_eq!(settings.value_bytes_max, 65_536);
    assert!(!settings.rumors);
    assert_eq!(settings.join, ["a:7711", "b:1"]);
}

#[test]
fn seeds_from_the_environment_are_separated_by_commas() {
    let variables = environment(&[("MANGROVE_JOIN", "a:7711, b:7711,"), ("MANGROVE_FOUND", "true")]);
    let (settings, _) = load(&Flags::default(), variables, None).unwrap();
    assert_eq!(settings.join, ["a:7711", "b:7711"]);
    assert!(settings.found);
}

#[test]
fn unknown_keys_name_the_nearest() {
    assert_eq!(
        refused_toml("repair-interval = '1s'"),
        r#""repair-interval" in mangrove.toml is not a setting; did you mean "repair_interval"?"#
    );
    assert!(refused_toml("colour = 'green'").contains("the settings are data_dir, http, "));
}

#[test]
fn a_bad_value_says_who_said_it_and_what_is_wanted() {
    assert_eq!(
        refused(&Flags { repair_interval: written("10"), ..Flags::default() }, &[]),
        "--repair-interval is \"10\", but it wants a duration with its unit, like 500ms, 10s or 2m"
    );
    assert_eq!(
        refused(&Flags::default(), &[("MANGROVE_VALUE_BYTES_MAX", "17MiB")]),
        "MANGROVE_VALUE_BYTES_MAX is \"17MiB\", but it wants 1 to 16MiB"
    );
    assert!(refused_toml("durability = 'never'").ends_with("is \"never\", but it wants fsync or interval"));
    assert!(refused_toml("name = ['a']").starts_with("name in "));
    assert!(refused_toml("name = ").contains("is not valid TOML"));
}

#[test]
fn a_missing_file_is_named() {
    let error = load(&Flags::default(), [], Some(Path::new("/no/such.toml"))).unwrap_err().to_string();
    assert!(error.starts_with("the settings file /no/such.toml cannot be read"), "{error}");
}

#[test]
fn beyond_loopback_only_insecure_and_reachable() {
    let everywhere = Flags { gossip: written("0.0.0.0:7711"), ..Flags::default() };
    assert_eq!(
        refused(&everywhere, &[]),
        "--gossip is 0.0.0.0:7711, which other machines can reach, and nothing is encrypted or authenticated yet: \
         choose a loopback address like 127.0.0.1:7711, or add --insecure if the network is private"
    );
    let insecure = Flags { insecure: written("on"), ..everywhere };
    assert_eq!(
        refused(&insecure, &[]),
        "--gossip is 0.0.0.0:7711, which is no address that others could reach: add --advertise HOST:7711 with the \
         name or address under which they do"
    );
    let whole = Flags { http: written("0.0.0.0:7710"), advertise: written("n1"), ..insecure };
    let (settings, _) = load(&whole, [], None).unwrap();
    assert_eq!(settings.gossip_advertised(settings.gossip), "n1:7711");
    assert_eq!(settings.http_advertised(settings.http, settings.gossip), "n1:7710");
}

#[test]
fn one_port_serves_one_thing() {
    let flags = Flags { http: written("127.0.0.1:7711"), ..Flags::default() };
    assert!(refused(&flags, &[]).starts_with("HTTP and gossip cannot both listen on port 7711"));
}

#[test]
fn a_mistyped_variable_is_a_warning_and_a_foreign_one_nothing() {
    let variables =
        environment(&[("MANGROVE_FANOUTT", "3"), ("MANGROVE_SERVICE_HOST", "x"), ("MANGROVE_LOG", "x")]);
    let (_, warnings) = load(&Flags::default(), variables, None).unwrap();
    assert_eq!(
        warnings,
        ["MANGROVE_FANOUTT is not a setting and was ignored; did you mean MANGROVE_FANOUT?"]
    );
}
